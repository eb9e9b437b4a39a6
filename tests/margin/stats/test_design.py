"""Labels of points: which are taken, which are refused, and sums over prompts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from margin.errors import MarginError
from margin.stats.design import make_design
from tests.margin.silhouette_oracle import labels


def test_labels_of_any_order_are_indexed_by_first_appearance() -> None:
    design = make_design(["rej", "pos", "rej"], ["q7", "q7", "q2"])
    assert design.modes == ("rej", "pos")
    assert design.prompt_ids == ("q7", "q2")
    assert design.mode.tolist() == [0, 1, 0]
    assert design.prompt.tolist() == [0, 0, 1]
    assert design.counterpart.tolist() == [[0, 1], [0, 1], [2, -1]]
    assert not design.is_complete


def test_without_prompts_each_point_is_its_own() -> None:
    design = make_design([1, 2, 2])
    assert design.n_prompts == 3
    assert design.modes == ("1", "2")


@pytest.mark.parametrize(
    ("modes", "prompts", "says"),
    [
        (["a", "a"], ["p", "q"], "at least two modes"),
        ([], [], "at least two modes"),
        (["a", "b"], ["p", "p", "q"], "2 modes but 3 prompts"),
        (["a", "b", "a"], ["p", "p", "p"], "'p' stands twice under mode 'a'"),
        (np.array(["a", "b", None, "a"], dtype=object), list("ppqq"), "mode of point 2 is missing"),
        ([0.0, 1.0, 0.0], [1.0, np.nan, 2.0], "prompt of point 1 is missing"),
    ],
)
def test_labels_that_fit_no_design_are_refused_in_one_line(modes: object, prompts: object, says: str) -> None:
    with pytest.raises(MarginError, match=says) as refused:
        make_design(modes, prompts)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_sums_and_means_by_prompt(missing: float) -> None:
    rng = np.random.default_rng(1)
    mode, prompt = labels(9, 4, rng, missing)
    design = make_design(mode, prompt)
    values = rng.standard_normal((design.n_points, 3))
    for index, prompt_id in enumerate(design.prompt_ids):
        rows = prompt == int(prompt_id)
        np.testing.assert_allclose(design.sum_by_prompt(values)[index], values[rows].sum(axis=0))
        np.testing.assert_allclose(design.mean_by_prompt(values)[index], values[rows].mean(axis=0))
    assert design.sum_by_prompt(values.astype(np.float32)).dtype == np.float32


def test_subset_drops_modes_and_prompts_without_points() -> None:
    design = make_design(["a", "b", "c", "a", "b"], ["p", "p", "p", "q", "r"])
    kept = design.subset(np.array([True, True, False, False, True]))
    assert kept.modes == ("a", "b")
    assert kept.prompt_ids == ("p", "r")


def test_clusters_of_other_prompts_are_refused() -> None:
    design = make_design(["neg", "pos"] * 4, np.repeat(np.arange(4), 2))
    topics = pd.Series(["a", "a", "b", "b"], index=["0", "1", "2", "3"])
    assert design.clustered(topics).n_units == 2
    with pytest.raises(MarginError, match="index them by prompt id, as text"):
        design.clustered(topics.set_axis(range(4)))
