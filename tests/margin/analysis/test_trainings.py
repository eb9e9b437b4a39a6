"""Recipes compared over trainings and prompts, in simulation."""

from __future__ import annotations

import numpy as np
import pytest

from margin.analysis.trainings import recipe_difference
from margin.errors import MarginError
from tests.intervals import holds
from tests.margin.silhouette_oracle import Array

Training = tuple[float, Array]


def recipe(
    rng: np.random.Generator, of_prompt: Array, margin: float, spread: float, R: int
) -> list[Training]:
    """R trainings of a recipe: each has an effect of its own, and its own noise by prompt."""
    made = []
    for _ in range(R):
        values = (
            margin + spread * rng.standard_normal() + of_prompt + 0.1 * rng.standard_normal(len(of_prompt))
        )
        made.append((float(values.mean()), (values - values.mean()) / len(values)))
    return made


@pytest.mark.parametrize("R", [3, 5])
@pytest.mark.parametrize("spread", [0.0, 0.05, 0.15])
def test_intervals_over_trainings_cover_the_recipes_difference(spread: float, R: int) -> None:
    """400 draws: the Monte Carlo error of .95 is .011."""
    covered = 0
    for run in range(400):
        rng = np.random.default_rng([1, run])
        of_prompt = 0.3 * rng.standard_normal(60)
        a, b = (recipe(rng, of_prompt, margin, spread, R) for margin in (0.2, 0.3))
        covered += holds(recipe_difference(a, b).difference, 0.1)
    assert covered / 400 >= 0.92


def test_one_training_says_nothing_of_a_recipe() -> None:
    rng = np.random.default_rng(2)
    of_prompt = rng.standard_normal(30)
    a, b = recipe(rng, of_prompt, 0.2, 0.1, 1), recipe(rng, of_prompt, 0.3, 0.1, 4)
    found = recipe_difference(a, b)
    assert found.difference.low is None
    assert "once" in found.difference.method
    assert found.trainings_to_settle is None
    with pytest.raises(MarginError, match="without a training"):
        recipe_difference([], b)


def test_what_dominates_is_said_and_more_trainings_settle() -> None:
    rng = np.random.default_rng(3)
    of_prompt = 0.01 * rng.standard_normal(60)
    noisy, steady = (
        recipe_difference(recipe(rng, of_prompt, 0.2, spread, 4), recipe(rng, of_prompt, 0.3, spread, 4))
        for spread in (0.2, 0.001)
    )
    assert noisy.dominant == "trainings"
    assert steady.dominant == "prompts"
    assert steady.trainings_to_settle == 2
    assert noisy.trainings_to_settle is None or noisy.trainings_to_settle > 4
