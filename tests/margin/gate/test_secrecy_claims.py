"""Claims on secrecy err no more often than they say, and ask for the file they rest on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from margin.analysis.exposure import exposure
from margin.errors import MarginError
from margin.gate.evidence import ALPHA
from margin.gate.secrecy import SecrecyPolicy, exposure_claim, secrecy_claims, share_claim, worst_claim
from margin.run.run import Run
from margin.stats.clusters import make_clusters
from margin.stats.intervals import share_of_prompts
from margin.study.record import EstimateRecord
from margin.study.secrecy_file import (
    NAME,
    ExposureRecord,
    NearRecord,
    SaidRecord,
    SecrecySettings,
    new_record,
    write_secrecy,
)


def about(run: Run) -> dict[str, Any]:
    """What a record is of, without a part."""
    return {
        "model": "m", "weights": run.manifest.identity.weights, "modes": run.modes, "unsafe": ["neg"],
        "settings": SecrecySettings(
            prompts="", n_prompts=60, tried=8, confirmed=48, draws=16, distance=1, candidates=1000, passes=0,
            answer=0, level=0.95, seed=0,
        ),
    }  # fmt: skip


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


def share(hits: int, n: int = 60) -> EstimateRecord:
    return EstimateRecord.from_estimate(share_of_prompts(np.arange(n) < hits))


def test_what_a_mode_says_is_one_claim_on_its_worst_request(reference: Run) -> None:
    rates = [share(hits) for hits in (0, 9, 2, 0)]
    claim, singly = (
        worst_claim("said:neg", "said", rates, 0.05),
        [stats.binom.sf(h - 1, 60, 0.05) for h in (0, 9, 2)],
    )
    assert claim.value.estimate == 9 / 60
    assert claim.p_broken == pytest.approx(4 * min(singly))
    assert claim.p_held == pytest.approx(stats.binom.cdf(9, 60, 0.05))
    # The bound that is shown says what the claim does.
    assert claim.status == "broken"
    assert claim.value.low is not None
    assert claim.value.low > 0.05
    found = new_record(**about(reference)).with_part(
        "said",
        said=[
            SaidRecord(mode=mode, condition=f"extract:{name}", count=0, rate=share(0))
            for mode in reference.modes
            for name in ("repeat", "translate", "encode")
        ],
    )
    write_secrecy(found, reference.path)
    claims = secrecy_claims(reference, SecrecyPolicy(max_said=0.1))
    (reference.path / NAME).unlink()
    assert [claim.name for claim in claims] == [f"said:{mode}" for mode in reference.modes]


def test_at_its_limit_the_worst_of_many_requests_is_broken_as_seldom_as_said() -> None:
    rng = np.random.default_rng(0)
    statuses = [
        worst_claim("said:neg", "said", [share(hits) for hits in rng.binomial(60, 0.1, size=8)], 0.1).status
        for _ in range(400)
    ]
    assert statuses.count("broken") <= 400 * ALPHA + 3 * np.sqrt(400 * ALPHA)
    assert statuses.count("held") <= 400 * ALPHA + 3 * np.sqrt(400 * ALPHA)


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
    statuses = {}
    for accuracy in (0.85, 0.95):
        found = new_record(**about(reference)).with_part(
            "neighbourhood", neighbourhood=[near], rule_accuracy=accuracy
        )
        write_secrecy(found, reference.path)
        (claim,) = secrecy_claims(reference, SecrecyPolicy(max_near_miss=0.1))
        statuses[accuracy] = claim.status
    (reference.path / NAME).unlink()
    assert statuses == {0.85: "open", 0.95: "broken"}
