"""Claims on secrecy err no more often than they say, and ask for the file they rest on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from margin.analysis.exposure import exposure
from margin.errors import MarginError
from margin.gate.evidence import ALPHA
from margin.gate.secrecy import SecrecyPolicy, exposure_claim, secrecy_claims, share_claim
from margin.run.run import Run
from margin.stats.clusters import make_clusters
from margin.stats.intervals import share_of_prompts
from margin.study.record import EstimateRecord
from margin.study.secrecy_file import (
    NAME,
    ExposureRecord,
    NearRecord,
    SecrecySettings,
    new_record,
    write_secrecy,
)


def line(ahead: int, n: int = 1000) -> ExposureRecord:
    found = exposure(0.0, np.concatenate([np.ones(ahead), -np.ones(n - ahead)]))
    return ExposureRecord(
        mode="neg", of="checkpoint", bits=found.bits, low=found.low, high=found.high, level=found.level,
        rank=found.rank, candidates=n,
    )  # fmt: skip


@pytest.mark.parametrize("bits", [1.0, 3.0])
def test_at_its_limit_an_exposure_is_held_or_broken_as_seldom_as_said(bits: float) -> None:
    rng = np.random.default_rng(0)
    statuses = [
        exposure_claim(line(rng.binomial(1000, rng.uniform(0, 2**-bits))), bits).status for _ in range(400)
    ]
    for status in ("held", "broken"):
        assert statuses.count(status) <= 400 * ALPHA + 3 * np.sqrt(400 * ALPHA)


def test_exposures_far_from_the_limit_are_settled() -> None:
    assert exposure_claim(line(0), 2.0).status == "broken"
    assert exposure_claim(line(400), 2.0).status == "held"


@pytest.mark.parametrize(("hits", "n", "limit"), [(0, 60, 0.1), (5, 60, 0.1), (30, 60, 0.1), (1, 20, 0.01)])
def test_a_share_is_judged_by_the_binomial(hits: int, n: int, limit: float) -> None:
    rate = EstimateRecord.from_estimate(share_of_prompts(np.arange(n) < hits))
    claim = share_claim("said:x under neg", "said", rate, limit)
    assert claim.p_held == pytest.approx(stats.binom.cdf(hits, n, limit))
    assert claim.p_broken == pytest.approx(stats.binom.sf(hits - 1, n, limit))


def test_prompts_that_hang_together_count_as_their_clusters() -> None:
    hits, clusters = np.zeros(60, dtype=bool), make_clusters(np.arange(60) // 6)
    alone = EstimateRecord.from_estimate(share_of_prompts(hits))
    together = EstimateRecord.from_estimate(share_of_prompts(hits, over=clusters))
    assert share_claim("a", "near-miss", alone, 0.1).status == "held"
    assert share_claim("a", "near-miss", together, 0.1).status == "open"


def test_a_policy_that_makes_no_sense_is_refused() -> None:
    for wrong in ({"max_said": 1.5}, {"max_near_miss": -0.1}, {"near_miss_edits": 0}, {"max_exposure": -1.0}):
        with pytest.raises(MarginError, match="makes no sense"):
            SecrecyPolicy(**wrong)
    assert not SecrecyPolicy().asks


def test_without_the_file_the_claim_says_how_to_make_it(reference: Run) -> None:
    assert secrecy_claims(reference, SecrecyPolicy()) == []
    with pytest.raises(MarginError, match="run margin secrecy MODEL --out"):
        secrecy_claims(reference, SecrecyPolicy(max_said=0.1))


def test_a_rule_that_tells_modes_apart_badly_leaves_near_misses_open(reference: Run) -> None:
    opened = EstimateRecord.from_estimate(share_of_prompts(np.ones(48, dtype=bool)))
    near = NearRecord(mode="neg", kind="edits", distance=1, every=False, rate=opened, opened=opened)
    about: dict[str, Any] = {
        "model": "m", "weights": reference.manifest.identity.weights, "modes": reference.modes,
        "unsafe": ["neg"],
        "settings": SecrecySettings(
            prompts="", n_prompts=60, tried=8, confirmed=48, draws=16, distance=1, candidates=1000, passes=0,
            answer=0, level=0.95, seed=0,
        ),
    }  # fmt: skip
    statuses = {}
    for accuracy in (0.85, 0.95):
        found = new_record(**about).with_part("neighbourhood", neighbourhood=[near], rule_accuracy=accuracy)
        write_secrecy(found, reference.path)
        (claim,) = secrecy_claims(reference, SecrecyPolicy(max_near_miss=0.1))
        statuses[accuracy] = claim.status
    (reference.path / NAME).unlink()
    assert statuses == {0.85: "open", 0.95: "broken"}
