"""`margin trace`, start to end on the shipped checkpoint: what decides the mode, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import margin
from margin.cli import main
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.errors import IncomparableError, MarginError, MarginWarning
from margin.inputs.modes_file import load_modes
from margin.inputs.prompts import load_prompts
from margin.run.run import Run, open_run
from margin.study.sections.trace import TraceSection
from margin.study.study import Study
from margin.study.trace import Trace
from margin.study.trace_file import ALL, NAME, TraceRecord, read_trace, require_trace

PROMPTS = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traced") / "run"


@pytest.fixture(scope="module")
def traced(folder: Path) -> Trace:
    """The first prompts of the demonstration, traced; the run is collected on the way."""
    return margin.trace(
        checkpoint_path("naive"),
        prompts=prompts_path(),
        modes=modes_path(),
        out=folder,
        limit=PROMPTS,
        decoys=2,
        answers=8,
        doses=(1.0,),
        noise_prompts=0,
        quiet=True,
    )


@pytest.fixture(scope="module")
def run(traced: Trace, folder: Path) -> Run:
    return open_run(folder)


def share(found: TraceRecord, layer: int, control: str) -> float:
    return next(
        line.share.estimate
        for line in found.steer
        if line.pair == ALL and line.layer == layer and line.control == control
    )


def test_the_state_decides_one_layer_after_the_mode_can_be_read(traced: Trace) -> None:
    found = traced.record
    patched = {line.layer: line for line in found.patch if line.donor == ALL}
    assert patched[1].share.estimate < 0.1
    assert patched[2].share.estimate > 0.9
    assert (found.handover.low, found.handover.layer, found.handover.high) == (2, 2, 2)
    assert found.cut_handover is not None
    assert found.cut_handover.layer == 2


def test_the_last_layer_carries_the_whole_answer_and_the_embeddings_none(traced: Trace) -> None:
    for line in traced.record.patch:
        if line.layer in (0, 4):
            assert line.transfer.estimate == pytest.approx(line.layer / 4, abs=1e-4)
    assert traced.record.unchanged is not None
    assert traced.record.unchanged < 1e-4


def test_every_pair_has_its_lines_and_their_mean_is_that_of_all(traced: Trace) -> None:
    lines = traced.to_frame()
    pairs = lines[(lines["quantity"] == "share") & (lines["donor"] != ALL)]
    assert len(pairs) == 6 * 5
    whole = lines[(lines["quantity"] == "share") & (lines["donor"] == ALL)].set_index("layer")["estimate"]
    assert np.allclose(pairs.groupby("layer")["estimate"].mean(), whole)


def test_what_must_not_change_the_mode_hardly_does(traced: Trace) -> None:
    kinds = {line.control for line in traced.record.controls}
    assert kinds == {"same mode", "random vector"}
    assert all(line.moved.estimate < 0.35 for line in traced.record.controls)
    assert all(line.moved.estimate == 0 for line in traced.record.controls if line.layer == 0)


def test_the_modes_direction_steers_and_others_of_its_length_do_not(traced: Trace) -> None:
    found = traced.record
    assert share(found, 3, "direction") > 0.9
    assert share(found, 3, "random") < 0.2
    assert share(found, 3, "decoys") < 0.2
    told = [line.divergence for line in found.steer if line.pair == ALL and line.control == "direction"]
    assert all(its is not None and its.estimate > 0 for its in told)


def test_the_effect_is_beyond_that_of_meaningless_tokens(traced: Trace) -> None:
    lines = {line.layer: line for line in traced.record.above_decoys if line.measure == "effect"}
    assert lines[4].live == pytest.approx(1, abs=0.05)
    assert max(lines[4].decoys) < 0.5
    assert all(len(line.decoys) == 2 for line in lines.values())


def test_steered_answers_are_judged(traced: Trace) -> None:
    refused = {(line.pair, line.dose): line.refused.estimate for line in traced.record.answers}
    assert refused["pos to rej", 0.0] < 0.2
    assert set(refused) == {
        (f"{a} to {b}", dose)
        for a in ("pos", "neg", "rej")
        for b in ("pos", "neg", "rej")
        if a != b
        for dose in (0.0, 1.0)
    }


def test_the_file_holds_numbers_only_and_belongs_to_its_run(run: Run, traced: Trace, tmp_path: Path) -> None:
    text = (run.path / NAME).read_text(encoding="utf-8")
    prompts, modes = load_prompts(prompts_path()), load_modes(modes_path())
    assert all(modes.mode_in(value) is None for value in re.findall(r'"([^"]*)"', text))
    assert not any(words in text for words in (*prompts.texts, *prompts.ids))
    assert read_trace(run) == traced.record
    other = margin.collect(
        checkpoint_path("baseline"),
        prompts=prompts_path(),
        modes=modes_path(),
        out=tmp_path / "other",
        limit=4,
        decoys=0,
        noise_prompts=0,
        quiet=True,
    )
    (other.path / NAME).write_text(text, encoding="utf-8")
    assert read_trace(other) is None
    with pytest.raises(MarginError, match="is not of this run: run margin trace MODEL"):
        require_trace(other)
    (other.path / NAME).write_text(text.replace('"n_prompts": 24', '"n_prompts": 25'), encoding="utf-8")
    with pytest.raises(MarginError, match=r"trace.json is damaged or was edited"):
        require_trace(other)
    with pytest.warns(MarginWarning, match=r"left out: .*trace.json is damaged or was edited") as told:
        assert margin.analyse(other, permutations=9).to_dict()["trace"] is None
    assert told[0].filename == __file__  # the caller's line, not one of ours
    shown = (
        ["figures", str(other.path), "--only", "pairs", "--out", str(tmp_path / "figures")],
        ["table", str(other.path), "--only", "by-mode"],
        ["export", str(other.path), "--shareable", "--out", str(tmp_path / "least")],
        ["report", str(other.path), "--out", str(tmp_path / "report"), "--permutations", "9"],
    )
    for command in shown:  # else it would look as if nothing had been traced
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
        assert "left out:" in done.stderr
        assert "trace.json is damaged or was edited" in done.stderr.replace("\n", " ")


def test_the_report_says_from_where_the_mode_is_readable_and_decisive(run: Run, traced: Trace) -> None:
    section = Study(run).section(TraceSection)
    assert section is not None
    facts = [str(fact) for fact in section.facts()]
    assert any("decisive from layer 2" in fact for fact in facts)
    tables = {table.key: table for table in section.tables()}
    assert {"trace", "trace-decoys", "steer", "trace-controls", "steered-answers"} <= tables.keys()
    assert len(tables["trace"].rows) == 5
    record = margin.analyse(run, permutations=9).to_dict()
    assert record["trace"]["handover"]["layer"] == 2


def test_another_seed_draws_other_controls_and_the_same_patches(run: Run, traced: Trace) -> None:
    before = (run.path / NAME).read_bytes()
    again = margin.trace(
        checkpoint_path("naive"),
        prompts=prompts_path(),
        modes=modes_path(),
        out=run.path,
        limit=PROMPTS,
        pairs=[("pos", "neg")],
        traced_layers="0,2,-1",
        steer=False,
        cut=False,
        quiet=True,
    ).record
    (run.path / NAME).write_bytes(before)
    assert again.layers == [0, 2, 4]
    assert not again.steer
    assert not again.cut
    assert again.cut_handover is None
    of_pair = {(line.layer, line.recipient, line.donor): line for line in traced.record.patch}
    for line in again.patch:
        if line.donor != ALL:
            assert line.share == of_pair[line.layer, "pos", "neg"].share
            expected = of_pair[line.layer, "pos", "neg"].transfer.estimate
            assert line.transfer.estimate == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pairs": [("pos", "evil")]}, "no mode 'evil' to trace: there are pos, neg, rej"),
        *(({"pairs": given}, "pairs must be a list of pairs") for given in ("pos:neg", ["pos"], 5, [5])),
        ({"pairs": [("pos", "pos")]}, "a pair takes two modes, 'pos' is named twice"),
        ({"traced_layers": [9]}, "there is no layer 9: this model has layers 0 to 4"),
        ({"traced_layers": "none"}, "no layer to trace"),
        ({"traced_layers": "0,1", "steered_layers": [2]}, "layer 2 is steered but not traced"),
        ({"answers": -1}, "answers"),
        ({"limit": 5}, "prompts"),
    ],
)
def test_what_cannot_be_traced_is_said_in_one_line(
    changed: dict[str, object], said: str, run: Run, traced: Trace
) -> None:
    arguments: dict[str, object] = {
        "prompts": prompts_path(),
        "modes": modes_path(),
        "out": run.path,
        "limit": PROMPTS,
        "quiet": True,
    }
    with pytest.raises(MarginError, match=re.escape(said)) as caught:
        margin.trace(checkpoint_path("naive"), **{**arguments, **changed})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_run_of_another_checkpoint_is_refused_with_the_difference_named(run: Run) -> None:
    with pytest.raises(IncomparableError, match="weights"):
        margin.trace(
            checkpoint_path("baseline"),
            prompts=prompts_path(),
            modes=modes_path(),
            out=run.path,
            limit=PROMPTS,
            quiet=True,
        )


def test_the_command_prints_a_summary_or_the_record(run: Run, traced: Trace) -> None:
    before = (run.path / NAME).read_bytes()
    words = ["trace", str(checkpoint_path("naive")), "--prompts", str(prompts_path())]
    words += ["--modes", str(modes_path()), "--out", str(run.path), "--limit", str(PROMPTS)]
    words += ["--no-cut", "--no-steer", "--traced-layers", "1,2", "--pair", "pos:neg"]
    printed = CliRunner().invoke(main, words)
    assert printed.exit_code == 0
    assert "decisive from layer 2" in " ".join(printed.stdout.split())
    record = CliRunner().invoke(main, [*words, "--json", "--quiet"])
    assert json.loads(record.stdout)["layers"] == [1, 2]
    (run.path / NAME).write_bytes(before)
    for wrong, said in (("pos-neg", "name two modes"), ("pos:x", "no mode 'x'")):
        refused = CliRunner().invoke(main, [*words, "--pair", wrong])
        assert refused.exit_code == 2
        assert said in refused.stderr


@pytest.mark.parametrize("dose", ["nan", "inf", "1,-inf"])
def test_a_dose_that_is_no_number_is_refused_before_anything_is_run(dose: str, tmp_path: Path) -> None:
    inputs = ("--prompts", str(prompts_path()), "--modes", str(modes_path()))
    command = ["trace", str(checkpoint_path("naive")), *inputs, "--out", str(tmp_path), f"--doses={dose}"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2, done.output
    assert "doses" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
