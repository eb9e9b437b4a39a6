"""What every test may use."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from tests.simulations import FIGURES, Record


@pytest.fixture
def record_figures(record_property: Callable[[str, object], None]) -> Record:
    """Keeps figures that a simulation measured at a setting, for `python -m tests.simulations`."""

    def record(setting: str, figures: Mapping[str, float]) -> None:
        plain = {name: float(value) for name, value in figures.items()}
        print(f"\n{setting}: " + ", ".join(f"{name} {value:.4g}" for name, value in plain.items()))
        record_property(FIGURES, (setting, plain))

    return record
