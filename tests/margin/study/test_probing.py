"""Probes of runs of the shipped checkpoint: selective, the margin's own d', and no trouble when small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from margin.analysis.separation.d_prime import d_prime
from margin.analysis.space import Coordinates
from margin.capture.collect import collect
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.errors import MarginError
from margin.inputs.modes import ModeSet
from margin.inputs.prompts import load_prompts
from margin.probes import d_primes, grouped_folds, make_rows
from margin.run.run import Run, open_run
from margin.study.probe_file import NAME, read_probes, write_probes
from margin.study.probing import Probing, probe
from margin.study.spaces import design_of
from tests.intervals import lower, upper

if TYPE_CHECKING:
    from margin.capture.checkpoint import Checkpoint

PROMPTS = 60


@pytest.fixture(scope="module")
def cotrained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("probing")
    attacks = folder / "attacks.jsonl"
    attacks.write_text('{"name": "polite", "template": "Dear friend, {prompt}"}\n')
    table = load_prompts(prompts_path())
    every = folder / "prompts.jsonl"  # the shipped prompts stand by language: some of both
    lines = prompts_path().read_text(encoding="utf-8").splitlines()
    every.write_text("\n".join(lines[:: len(lines) // PROMPTS][:PROMPTS]), encoding="utf-8")
    assert len(table.texts) == len(lines)
    return collect(
        checkpoint_path("cotrained"),
        prompts=every,
        modes=modes_path(),
        out=folder / "run",
        layers="all",
        controls=["none"],
        attacks=attacks,
        decoys=0,
        quiet=True,
    )


@pytest.fixture(scope="module")
def found(cotrained: Run) -> Probing:
    return probe(cotrained, columns=["language"])


def test_selectivity_is_positive_on_the_cotrained_checkpoint(found: Probing) -> None:
    first, *_, last = found.probes.layers
    assert lower(last.accuracy) > 0.9
    assert last.control is not None
    assert lower(last.control.selectivity) > 0
    assert (
        lower(first.accuracy) < 1 / 3 < upper(first.accuracy)
    )  # the template's last token, the same in all rows
    assert found.probes.deciding.layer in {1, 2}
    assert found.n_prompts == PROMPTS
    assert found.to_frame()["n_prompts"].eq(PROMPTS).all()


def test_transfer_is_measured_over_columns_and_to_attacks(found: Probing) -> None:
    table = found.transfer_frame()
    assert set(table["column"]) == {"language", "attack"}
    assert set(table["layer"]) == {4}
    assert set(table.loc[table["column"] == "attack", "target"]) == {"clean", "polite"}
    assert set(table.loc[table["column"] == "language", "source"]) == {"en", "zh"}
    own = table[(table["column"] == "language") & (table["source"] == table["target"])]
    assert (own["estimate"] > 0.9).all()
    assert (table["low"] <= table["estimate"]).all()


def test_d_prime_is_the_one_of_the_margins_own_separation(cotrained: Run) -> None:
    rows = np.flatnonzero(cotrained.rows["condition"].isin(["pos", "neg"]))
    design = design_of(cotrained, rows)
    X = cotrained.layer(4)[rows]
    probed = make_rows(cotrained.rows["mode"].iloc[rows], cotrained.rows["prompt_id"].iloc[rows])
    fold = grouped_folds(probed, seed=3)
    by_prompt = np.zeros(design.n_prompts, dtype=np.intp)
    by_prompt[design.prompt] = fold
    expected = d_prime(Coordinates(X).distances("sqeuclidean"), design, by_prompt)
    score = d_primes(X, probed, fold)["mean_difference", ("pos", "neg")]
    assert score.estimate == pytest.approx(expected.estimate, rel=1e-3)


def test_what_was_found_comes_back_as_written_and_only_for_this_run(
    cotrained: Run, found: Probing, tmp_path: Path
) -> None:
    before = dict(cotrained.manifest.files)
    path = write_probes(found, cotrained)
    assert path == cotrained.path / NAME
    record = read_probes(open_run(cotrained.path))
    assert record is not None
    assert record.n_prompts == PROMPTS
    assert record.deciding.layer == found.probes.deciding.layer
    assert NAME not in before
    assert probe(cotrained, columns=["language"]).to_dict() == found.to_dict()

    path.write_bytes(path.read_bytes().replace(b'"n_prompts": 60', b'"n_prompts": 61', 1))
    assert read_probes(cotrained) is None
    path.write_bytes(b"{")
    assert read_probes(cotrained) is None
    path.unlink()
    assert read_probes(cotrained) is None


def small(make_checkpoint: Callable[..., Checkpoint], modes: ModeSet, prompts: list[str], out: Path) -> Run:
    return collect(make_checkpoint(), prompts=prompts, modes=modes, out=out, decoys=0, quiet=True)


@pytest.mark.parametrize("n", [2, 3])
def test_a_run_of_few_prompts_and_the_last_layer_only_is_probed(
    make_checkpoint: Callable[..., Checkpoint],
    modes: ModeSet,
    prompts: list[str],
    tmp_path: Path,
    n: int,
) -> None:
    run = small(make_checkpoint, modes, prompts[:n], tmp_path / "run")
    found = probe(run)
    assert found.folds == 2
    assert [layer.layer for layer in found.probes.layers] == [3]
    assert found.transfer_frame().empty
    assert (found.probes.layers[0].control is None) == (n < 3)
    write_probes(found, run)


def test_two_modes_are_probed(
    make_checkpoint: Callable[..., Checkpoint], modes: ModeSet, prompts: list[str], tmp_path: Path
) -> None:
    run = small(make_checkpoint, ModeSet(modes.modes[:2]), prompts, tmp_path / "run")
    found = probe(run)
    assert found.probes.deciding.chance == 0.5
    assert len(found.probes.layers[0].d_prime) == 2


def test_what_cannot_be_probed_is_said_in_a_line(
    cotrained: Run,
    make_checkpoint: Callable[..., Checkpoint],
    modes: ModeSet,
    prompts: list[str],
    tmp_path: Path,
) -> None:
    for arguments, says in (
        ({"layers": []}, "no layer to probe"),
        ({"layers": [9]}, "no layer 9"),
        ({"columns": ["topic"]}, "no column 'topic'"),
        ({"columns": ["prompt"]}, "no column 'prompt'"),
    ):
        with pytest.raises(MarginError, match=says) as refused:
            probe(cotrained, **arguments)
        assert "\n" not in str(refused.value)
    alone = small(make_checkpoint, modes, prompts[:1], tmp_path / "alone")
    with pytest.raises(MarginError, match="single prompt"):
        probe(alone)
