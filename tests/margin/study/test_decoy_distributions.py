"""Next-token distributions of decoys beside the live tokens', against the softmax of the full logits."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file
from scipy import stats
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

import margin
from margin.capture.collect import collect
from margin.inputs.modes import ModeSet
from margin.run.files import sha256_of
from margin.run.run import Run, open_run
from margin.run.run_tables import DECOY_INFORMATION, DECOY_PAIRS
from margin.stats.estimate import Estimate
from margin.study.decoys import DecoyRows, decoy_rows
from margin.study.sections.decoys import Decoys, Key
from margin.study.settings import Settings
from margin.study.study import Study
from tests.margin.conftest import SMALL
from tests.margin.silhouette_oracle import Array

if TYPE_CHECKING:
    from margin.analysis.decoys import AboveDecoys
    from margin.capture.checkpoint import Checkpoint

SETS, ASKED, K = 3, 12, 3
MEASURES = ("mutual_information", "total_variation", "hellinger2")
Collect = Callable[..., Run]


@pytest.fixture(scope="module")
def collected(
    make_checkpoint: Callable[..., Checkpoint],
    prompts: list[str],
    modes: ModeSet,
    tmp_path_factory: pytest.TempPathFactory,
) -> Collect:
    def run_of(config: Any = None, **options: Any) -> Run:
        order = np.random.default_rng(0).permutation(len(prompts))  # ids are not in the order of the prompts
        table = pd.DataFrame({"prompt": prompts, "id": [f"p{i:02d}" for i in order]})
        table["template"] = [f"t{i // 3}" for i in range(len(prompts))]
        options = {"decoys": SETS, "decoy_prompts": ASKED, "save_logits": True, **options}
        out = tmp_path_factory.mktemp("distributions") / "run"
        checkpoint = make_checkpoint(config)
        return collect(
            checkpoint, prompts=table, modes=modes, out=out, controls=["none"], quiet=True, **options
        )

    return run_of


@pytest.fixture(scope="module")
def run(collected: Collect) -> Run:
    return collected()


def capped() -> Any:
    from transformers import Gemma2Config

    return Gemma2Config(**SMALL, final_logit_softcapping=5.0, head_dim=16, query_pre_attn_scalar=16)


def rows_of(run: Run, cluster: str | None = None) -> DecoyRows:
    found = decoy_rows(run, cluster)
    assert found is not None
    return found


def above_of(run: Run, cluster: str | None = None) -> dict[Key, AboveDecoys]:
    found = Study(run, Settings(cluster=cluster)).section(Decoys)
    assert found is not None
    assert found.has_distributions
    return dict(found.lines)


def distributions(run: Run) -> tuple[Array, list[str]]:
    """(1 + M, n, k, V) of the live tokens, then of each set, and the ids of the n prompts."""
    p = softmax(run.logits().astype(np.float64), axis=1)
    lines = run.rows
    ids = lines[lines["kind"] == "decoy"]["prompt_id"].unique().tolist()
    found = np.empty((1 + SETS, len(ids), K, p.shape[1]))
    for i, prompt in enumerate(ids):
        of_prompt = lines[lines["prompt_id"] == prompt]
        for c, mode in enumerate(run.modes):
            (row,) = of_prompt.index[(of_prompt["kind"] == "mode") & (of_prompt["condition"] == mode)]
            found[0, i, c] = p[row]
            for m in range(SETS):
                its = (of_prompt["kind"] == "decoy") & (of_prompt["draw"] == m * K + c)
                (row,) = of_prompt.index[its]
                found[1 + m, i, c] = p[row]
    return found, ids


def by_prompt(p: Array, measure: str, modes: tuple[int, ...]) -> Array:
    """(n,) of distributions (n, k, V) under some modes, by definition."""
    if measure == "mutual_information":
        whole = p[:, modes].mean(axis=1, keepdims=True)
        found: Array = stats.entropy(whole, base=2, axis=2)[:, 0]
        found -= stats.entropy(p[:, modes], base=2, axis=2).mean(axis=1)
        return found
    of_pairs = [
        np.abs(p[:, a] - p[:, b]).sum(axis=1) / 2
        if measure == "total_variation"
        else 1 - np.sqrt(p[:, a] * p[:, b]).sum(axis=1)
        for a, b in combinations(modes, 2)
    ]
    mean: Array = np.mean(of_pairs, axis=0)
    return mean


def by_formula(values: Array, cluster: list[str] | None) -> Estimate:
    """Live less the sets' mean of values (1 + M, n), with variances over prompts and sets put together."""
    n = values.shape[1]
    means = values.mean(axis=1)
    paired = values[0] - values[1:].mean(axis=0)
    deviation = pd.Series(paired - paired.mean())
    units = deviation if cluster is None else deviation.groupby(cluster).sum()
    of_prompts = (units**2).sum() / n**2 * len(units) / (len(units) - 1)
    of_sets = means[1:].var(ddof=1) * (1 + 1 / SETS)
    degrees = (of_prompts + of_sets) ** 2 / (of_prompts**2 / (len(units) - 1) + of_sets**2 / (SETS - 1))
    low, high = stats.t(degrees, paired.mean(), np.sqrt(of_prompts + of_sets)).interval(0.95)
    return Estimate(float(paired.mean()), float(low), float(high))


@pytest.mark.parametrize("cluster", [None, "template"])
@pytest.mark.parametrize("config", [None, capped], ids=["affine", "capped"])
def test_measures_above_decoys_are_those_of_the_softmax_of_the_logits(
    collected: Collect, config: Callable[[], Any] | None, cluster: str | None
) -> None:
    run = collected(None if config is None else config())
    found, (p, ids) = above_of(run, cluster), distributions(run)
    labels = None if cluster is None else run.prompts.set_index("id")[cluster].loc[ids].tolist()
    contrasts: dict[str, tuple[int, ...]] = {"all": (0, 1, 2)}
    contrasts |= {f"{run.modes[a]} / {run.modes[b]}": (a, b) for a, b in combinations(range(K), 2)}
    for measure in MEASURES:
        for name, modes in contrasts.items():
            values = np.array([by_prompt(of_set, measure, modes) for of_set in p])
            one, expected = found[measure, None, None, name], by_formula(values, labels)
            assert (one.live, *one.decoys) == pytest.approx(values.mean(axis=1), abs=1e-6)
            assert one.above.estimate == pytest.approx(expected.estimate, abs=1e-6)
            assert (one.above.low, one.above.high) == pytest.approx((expected.low, expected.high), abs=3e-6)
            assert one.rank_p == (1 + np.sum(values[1:].mean(axis=1) >= values[0].mean())) / (SETS + 1)
    one = found["mutual_information", None, None, "all"]
    of_pair = [
        jensenshannon(p[0, :, a], p[0, :, b], base=2, axis=1) ** 2 for a, b in combinations(range(K), 2)
    ]
    first = found["mutual_information", None, None, f"{run.modes[0]} / {run.modes[1]}"]
    assert first.live == pytest.approx(of_pair[0].mean(), abs=1e-6)


def test_hellinger_margins_above_decoys_are_those_of_the_roots_of_probabilities(run: Run) -> None:
    found, (p, ids) = above_of(run), distributions(run)
    modes, prompts = np.tile(run.modes, len(ids)), np.repeat(ids, K)
    for variant in ("leave_prompt_out", "prompt_centred"):
        sets = [
            margin.sam(np.sqrt(of_set).reshape(len(ids) * K, -1), modes, prompts=prompts, variant=variant,
                       distance="sqeuclidean").estimate
            for of_set in p
        ]  # fmt: skip
        one = found["sam", variant, "hellinger2", "all"]
        assert (one.live, *one.decoys) == pytest.approx(sets, abs=1e-4)
        assert one.above.n_prompts == ASKED
        assert one.above.low is not None


def test_without_decoys_nothing_is_kept_of_them(collected: Collect) -> None:
    bare = collected(decoys=0)
    assert bare.decoy_pairs is None
    assert bare.decoy_information is None
    assert bare.decoy_grams() is None
    assert not any("decoy" in name for name in bare.manifest.files)


def test_products_of_all_sets_are_as_many_as_those_of_the_modes_at_most(
    collected: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("margin.capture.headpass.LARGEST_GRAM", 28)
    run = collected()
    kept = run.decoy_grams()
    assert kept is not None
    rows, products = kept
    assert products.shape == (SETS, 15, 15)  # 3 x 15 x 15 is below 28 x 28, with another prompt it is not
    assert SETS * 18**2 > 28**2 >= products.size
    ids = run.rows["prompt_id"].to_numpy()
    assert (ids[rows] == ids[rows[0]]).all()
    p = softmax(run.logits().astype(np.float64), axis=1)
    for of_set, block in zip(rows, products.astype(np.float64), strict=True):
        squares = np.diag(block)
        half = (squares[:, None] + squares - 2 * block) / 2
        affinity = np.sqrt(p[of_set]) @ np.sqrt(p[of_set]).T
        assert half == pytest.approx(1 - np.clip(affinity, 0, 1), abs=1e-5)
    # What is of single prompts is kept of all of them; margins are of those whose products are.
    found = above_of(run)
    assert found["total_variation", None, None, "all"].above.n_prompts == ASKED
    assert found["sam", "leave_prompt_out", "hellinger2", "all"].above.n_prompts == 5
    of_live, _ = run.hellinger_gram()
    assert set(ids[rows[0]]) <= set(ids[of_live])


def test_a_run_from_before_distributions_of_decoys_were_kept_says_so(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    folder = tmp_path / "run"
    head = {
        name: part for name, part in load_file(folder / "head.safetensors").items() if "decoys" not in name
    }
    save_file(head, folder / "head.safetensors")
    for name in (DECOY_PAIRS, DECOY_INFORMATION):
        (folder / name).unlink()
    names = [name for name in run.manifest.files if (folder / name).is_file()]
    run.manifest.replace(files={name: sha256_of(folder / name) for name in names}).write(folder)

    earlier = open_run(folder)
    section = Study(earlier).section(Decoys)
    assert section is not None
    missing = {key for key in above_of(run) if key[0] in MEASURES or key[2] == "hellinger2"}
    assert len(missing) == 3 * 4 + 2
    assert set(section.lines) == set(above_of(run)) - missing
    report = margin.analyse(earlier, permutations=9)
    report.save(tmp_path / "out")
    assert "collected before they were kept" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_the_report_shows_them(run: Run, tmp_path: Path) -> None:
    report = margin.analyse(run, permutations=9)
    report.save(tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "collected before" not in text
    lines = {(line["measure"], line["modes"]): line for line in report.to_dict()["decoys"]}
    for measure in MEASURES:
        line = lines[measure, "all"]
        assert len(line["decoys"]) == line["sets"] == SETS
        assert line["low"] < line["estimate"] < line["high"]
        assert f"| {measure.replace('_', ' ')} | all | {line['live']:.3f} |" in text
