"""The judge of the stand-in behaviours, its errors, and what they do to an interval."""

from __future__ import annotations

from itertools import combinations
from random import Random

import numpy as np
import pytest
from scipy import stats

from examples.cotrain.behaviours import BEHAVIOURS, answer, questions
from examples.cotrain.judge import StandInJudge, bodies, errors, paraphrases, widened, worst_error
from examples.paper_table.seeds import two_level
from margin.stats.estimate import Estimate


@pytest.fixture(scope="module")
def judge() -> StandInJudge:
    return StandInJudge()


def test_known_wording_is_known(judge: StandInJudge) -> None:
    rng, pool = Random(0), questions(400, 0)
    drawn = [(rng.choice(pool), rng.choice(BEHAVIOURS)) for _ in range(400)]
    texts = [answer(question, behaviour, rng) for question, behaviour in drawn]
    assert judge(texts) == [behaviour for _, behaviour in drawn]


def test_no_wording_is_of_two_behaviours() -> None:
    found = [pair for half in (0, 1) for pair in bodies(half)]
    for (one, a), (other, b) in combinations(found, 2):
        if a != b:
            assert one.pattern != other.pattern
            assert not one.search(other.pattern.replace("\\", "").replace(".{1,40}", "tea"))


def test_paraphrases_are_in_other_words(judge: StandInJudge) -> None:
    texts = [text for text, _, _ in paraphrases()]
    assert len(set(texts)) == len(texts)
    assert [text for text in texts if judge.known(text)] == []


def test_errors_are_counted_on_wording_that_was_not_seen() -> None:
    found = errors(count=400)
    assert [one.wording.split("(")[0].strip() for one in found[:2]] == [
        "the half of the phrases not seen"
    ] * 2
    for one in found:
        assert (one.table.to_numpy().sum(axis=1) > 10).all()
    seen = StandInJudge(verbatim=False)
    half = [(text, name) for text, name, place in paraphrases() if place % 2 == 0]
    right = np.mean([said == name for said, (_, name) in zip(seen([t for t, _ in half]), half, strict=True)])
    unseen = found[-1].table.to_numpy()
    assert np.trace(unseen) / unseen.sum() < right
    assert 0 < worst_error(found) <= 1


def test_an_erring_judge_widens_an_interval_by_what_it_may_have_done() -> None:
    share = Estimate(0.9, 0.85, 0.94, level=0.95, method="exact", n_prompts=100)
    wider = widened(share, judged=0.2, error=0.5)
    assert (wider.low, wider.high) == pytest.approx((0.75, 1.0))
    assert widened(share, judged=0.0, error=1.0).low == share.low
    assert wider.estimate == share.estimate


def test_an_interval_over_trainings_and_prompts_covers() -> None:
    """Five trainings about a recipe's number, all measured on the same 60 prompts."""
    rng, hits, runs = np.random.default_rng(0), 0, 600
    for _ in range(runs):
        of_prompts = rng.normal(0, 0.5, 60)
        found = []
        for of_training in rng.normal(0, 0.05, 5):
            values = 0.3 + of_training + of_prompts + rng.normal(0, 0.1, 60)
            half = stats.t.ppf(0.975, 59) * values.std(ddof=1) / np.sqrt(60)
            mean = float(values.mean())
            found.append(Estimate(mean, mean - half, mean + half, n_prompts=60))
        interval = two_level(found)
        hits += (interval.low or 0) <= 0.3 <= (interval.high or 0)
    assert 0.93 <= hits / runs <= 1.0


def test_one_training_has_the_interval_over_prompts() -> None:
    one = Estimate(0.5, 0.4, 0.6)
    assert two_level([one]) is one
    assert two_level([Estimate(0.5), Estimate(0.7)]).low is None


def test_ends_of_a_share_stay_within_0_and_1() -> None:
    found = [Estimate(0.02, 0.0, 0.2, n_prompts=20), Estimate(0.3, 0.1, 0.5, n_prompts=20)]
    assert (two_level(found).low or 0) < 0
    share = two_level(found, share=True)
    assert share.low == 0.0
    assert share.high == two_level(found[::-1], share=True).high == 1.0
