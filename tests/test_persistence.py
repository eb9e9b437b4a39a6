"""The study of damaged checkpoints: damages do what they say, changes are paired."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from examples.persistence.damages import DAMAGES, noise, pruned, rounded, scaled
from examples.persistence.misjudged import drawn_again
from examples.persistence.scorecard import MARGINS, Damaged, allowed, mean_change, told
from examples.persistence.study import RECIPES, Training, trainings
from margin.stats.estimate import Estimate
from margin.stats.intervals import mean_share
from margin.study.numbers import RunNumber


@pytest.fixture
def weights() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Trained weights and the base's: a matrix and a norm's vector."""
    torch.manual_seed(0)
    return tuple({"matrix": torch.randn(40, 50), "norm": torch.ones(50) + i} for i in range(2))  # type: ignore[return-value]


def test_damages_do_what_their_names_say(
    weights: tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]],
) -> None:
    trained, base = weights
    generator = torch.Generator().manual_seed(0)
    some = pruned(0.4)(trained, base, generator)["matrix"]
    assert float((some == 0).float().mean()) == pytest.approx(0.4, abs=0.01)
    assert float(some[some != 0].abs().min()) >= float(trained["matrix"][some == 0].abs().max())
    coarse = rounded(4)(trained, base, generator)["matrix"]
    step = trained["matrix"].abs().amax(dim=1, keepdim=True) / 7
    assert bool(((coarse - trained["matrix"]).abs() <= step / 2 + 1e-6).all())
    assert all(len(row.unique()) <= 15 for row in coarse)
    half = scaled(0.5)(trained, base, generator)
    torch.testing.assert_close(half["norm"], (trained["norm"] + base["norm"]) / 2)
    spread = (noise(0.1)(trained, base, generator)["matrix"] - trained["matrix"]).std()
    assert float(spread) == pytest.approx(0.1 * float(trained["matrix"].std()), rel=0.1)


@pytest.mark.parametrize("name", DAMAGES)
def test_every_damage_keeps_shapes_and_draws_the_same_again(
    name: str, weights: tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]
) -> None:
    trained, base = weights
    one, two = (DAMAGES[name](trained, base, torch.Generator().manual_seed(1)) for _ in range(2))
    for key, w in trained.items():
        assert one[key].shape == w.shape
        torch.testing.assert_close(one[key], two[key])
    assert not torch.equal(one["matrix"], trained["matrix"])


def test_what_is_done_first_is_of_all_recipes() -> None:
    assert {one.recipe for one in trainings(3)[: len(RECIPES)]} == set(RECIPES)
    assert Training("naive", 2).name in {one.name for one in trainings(3)}


def number(name: str, shares: np.ndarray) -> RunNumber:
    return RunNumber(name, mean_share(shares), "judge", tuple(map(str, range(len(shares)))))


def population(
    rng: np.random.Generator, count: int, drop: float, spread: float, prompts: int = 60
) -> list[Damaged]:
    """Damages that take `drop` of a share, give or take `spread` from training to training."""
    found = []
    for training in range(count):
        chance = rng.beta(8, 2, size=prompts)
        lower = np.clip(chance - drop - spread * rng.normal(), 0, 1)
        before, after = (rng.binomial(3, each) / 3 for each in (chance, lower))
        found.append(
            Damaged(
                f"t{training}",
                "cut",
                {"switch": number("switch", before)},
                {"switch": number("switch", after)},
            )
        )
    return found


def test_a_mean_change_is_that_of_the_prompts_and_its_interval_covers() -> None:
    rng = np.random.default_rng(0)
    truth = mean_change(population(rng, 400, 0.2, 0.05, 400), "switch").estimate
    covered = []
    for _ in range(150):
        some = population(rng, 6, 0.2, 0.05)
        one = mean_change(some, "switch")
        assert one.estimate == pytest.approx(np.mean([each.change("switch") for each in some]))
        covered.append(one.low is not None and one.high is not None and one.low <= truth <= one.high)
    assert np.mean(covered) >= 0.9


def test_a_gate_lets_pass_what_fell_by_no_more_than_is_allowed() -> None:
    def one(training: int, drop: float, lost: float) -> Damaged:
        def of(margin: float, switch: float) -> dict[str, RunNumber]:
            plain = {name: RunNumber(name, Estimate(margin), "geometry") for name in MARGINS}
            return plain | {"switch": RunNumber("switch", Estimate(switch), "judge")}

        return Damaged(f"t{training}", "cut", of(0.3, 0.9), of(0.3 - drop, 0.9 - lost))

    found = [one(0, 0.001, 0.0), one(1, 0.03, 0.2), one(2, 0.2, 0.3), one(3, 0.04, 0.0)]
    lines = allowed(found, "leave_prompt_out").to_frame().set_index("allowed drop")
    assert lines.loc["0.01", "pass"] == "1"
    assert lines.loc["0.01", "lost of the stopped"].startswith("2 of 3")
    assert lines.loc["0.05", "lost among these"].startswith("1 of 3")
    areas = told(found).to_frame().set_index("margin")["AUC"]
    assert areas.loc["leave_prompt_out"].startswith("0.750")  # 3 of 4 pairs in order


def test_only_answers_of_unknown_wording_are_drawn_again() -> None:
    rows = pd.DataFrame({"label": ["pos", "neg"] * 2000, "known": [True] * 2000 + [False] * 2000})
    behind = pd.DataFrame(
        {"pos": [0.8, 0.1, 0.0], "neg": [0.2, 0.6, 0.0], "rej": [0.0, 0.3, 1.0]}, index=["pos", "neg", "rej"]
    )
    again = drawn_again(rows, behind, np.random.default_rng(0))
    assert again["label"][rows["known"]].equals(rows["label"][rows["known"]])
    called = pd.crosstab(rows["label"][~rows["known"]], again["label"][~rows["known"]], normalize="index")
    assert np.abs(called - behind.loc[["neg", "pos"]]).to_numpy().max() < 0.05
