"""Bounds and corrections against SciPy and against mixtures that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.analysis.robustness.rates import corrected_rates

CONFUSION = np.array([[0.9, 0.02, 0.03, 0.05], [0.05, 0.8, 0.1, 0.05], [0.0, 0.1, 0.85, 0.05]])


@given(st.lists(st.floats(0.01, 1), min_size=4, max_size=4))
def test_a_mixture_of_known_points_is_unmixed(weights: list[float]) -> None:
    truth = np.array(weights) / sum(weights)
    observed = truth[:3] @ CONFUSION + truth[3] * np.array([0, 0, 0, 1])
    assert corrected_rates(observed, CONFUSION) == pytest.approx(truth, abs=1e-8)


def test_corrected_rates_stay_rates_where_the_observed_are_no_mixture() -> None:
    found = corrected_rates(np.array([0.0, 0.0, 1.0, 0.0]), CONFUSION)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
