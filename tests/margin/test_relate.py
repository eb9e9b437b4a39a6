"""`margin relate` as a user meets it: runs of checkpoints in, what their margins tell of them out."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from scipy import stats
from sklearn.metrics import roc_auc_score

import margin
from margin.cli import main
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.errors import IncomparableError, MarginError
from margin.inputs.modes_file import load_modes
from margin.inputs.prompts import load_prompts
from margin.report.relation import to_json
from margin.run.run import open_run
from margin.study.behaviour import judgements_of
from margin.study.relation import Relation
from margin.study.relation_record import schema

SHARES = (0.0, 0.4, 0.6, 0.7, 0.8, 1.0, 1.1)
"""How far each checkpoint lies on the way from the shipped baseline to the co-trained one."""
TRAININGS = "aabbcde"
MEASURE: dict[str, Any] = {"modes": modes_path(), "noise_prompts": 0, "quiet": True}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Runs of checkpoints between two trainings: real ones, whose margins and answers differ."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = tmp_path_factory.mktemp("related")
    models = [AutoModelForCausalLM.from_pretrained(checkpoint_path(name)) for name in ("baseline", "naive")]
    start, end = ({name: w.clone() for name, w in model.named_parameters()} for model in models)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint_path("naive"))
    made = []
    for number, share in enumerate(SHARES):
        with torch.no_grad():
            for name, weight in models[0].named_parameters():
                weight.copy_(start[name] + share * (end[name] - start[name]))
        models[0].save_pretrained(place / f"checkpoints/{number}")
        tokenizer.save_pretrained(place / f"checkpoints/{number}")
        run = place / f"runs/step-{10 * number}"
        margin.collect(
            place / f"checkpoints/{number}",
            prompts=prompts_path(),
            out=run,
            limit=12,
            controls=["none", "random"],
            generate=10,
            decoys=2,
            **MEASURE,
        )
        made.append(run)
    return made


@pytest.fixture(scope="module")
def training(runs: list[Path]) -> Path:
    """A table of the runs: their trainings, and a number measured elsewhere."""
    path = runs[0].parent.parent / "runs.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("run", "training", "quality"))
        writer.writerows((run, name, i**2) for i, (run, name) in enumerate(zip(runs, TRAININGS, strict=True)))
    return path


@pytest.fixture(scope="module")
def found(runs: list[Path], training: Path) -> Relation:
    return margin.relate(runs, training=training, numbers=["quality"])


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["relate", *map(str, arguments)])


def test_the_numbers_are_those_of_the_reports(runs: list[Path], found: Relation) -> None:
    last = margin.analyse(runs[-1])
    record = json.loads(json.dumps(last.to_dict()))
    assert found.values("leave_prompt_out")["estimate"].iloc[-1] == pytest.approx(
        last.headline.leave_prompt_out.estimate
    )
    above = next(
        one
        for one in record["decoys"]
        if (one["measure"], one["variant"], one["distance"], one["modes"])
        == ("sam", "prompt_centred", "cosine", "all")
    )
    assert found.values("prompt_centred above decoys")["estimate"].iloc[-1] == pytest.approx(
        above["estimate"]
    )
    leak = next(
        one
        for one in record["robustness"]
        if (one["quantity"], one["condition"], one["column"]) == ("leak", "random", None)
    )
    of_leak = [number.value.estimate for number in found.numbers["leak: random by geometry"] if number]
    assert of_leak[-1] == pytest.approx(leak["estimate"])  # one draw a prompt, so shares are shares


def test_switch_success_is_the_share_of_answers_with_the_label_expected(
    runs: list[Path], found: Relation
) -> None:
    run = open_run(runs[3])
    judged = judgements_of(run)
    assert judged is not None
    rows = run.rows.merge(judged.table, on="row")
    rows = rows[rows["kind"] == "mode"]
    expected = (rows["label"] == rows["condition"].map(dict(judged.expected))).mean()
    assert found.values("switch")["estimate"].iloc[3] == pytest.approx(expected)


def test_correlations_are_scipys_of_the_numbers_shown(found: Relation) -> None:
    for pair in found.pairs[::23]:
        x, y = (found.values(name)["estimate"] for name in (pair.margin, pair.behaviour))
        both = x.notna() & y.notna()
        assert pair.runs == both.sum()
        oracle = stats.spearmanr(x[both], y[both]).statistic
        assert pair.association.spearman.estimate == pytest.approx(oracle, nan_ok=True)


def test_trainings_are_the_units_and_numbers_of_a_file_are_related(found: Relation) -> None:
    assert {pair.trainings for pair in found.pairs if pair.runs == len(SHARES)} == {5}
    quality = next(p for p in found.pairs if (p.margin, p.behaviour) == ("leave_prompt_out", "quality"))
    assert quality.by == "file"
    x = found.values("leave_prompt_out")["estimate"]
    oracle = stats.spearmanr(x, np.arange(len(SHARES)) ** 2).statistic
    assert quality.association.spearman.estimate == pytest.approx(oracle)
    assert quality.association.reliability is None
    assert found.runs.step == tuple(float(10 * number) for number in range(len(SHARES)))


def test_p_values_are_adjusted_over_all_that_is_shown(found: Relation) -> None:
    p = np.array([pair.association.p_value for pair in found.pairs])
    adjusted = np.array([pair.p_holm for pair in found.pairs])
    known = np.isfinite(p)
    least = np.nanargmin(p)
    assert adjusted[least] == pytest.approx(min(1, p[least] * known.sum()))


def test_the_order_of_the_runs_changes_nothing(runs: list[Path], training: Path) -> None:
    narrow: dict[str, Any] = {"margins": ["leave_prompt_out"], "behaviours": ["switch"], "training": training}
    one, two = margin.relate(runs, **narrow), margin.relate(runs[::-1], **narrow)
    for first, second in zip(one.pairs, two.pairs, strict=True):
        a, b = first.association.spearman, second.association.spearman
        assert (a.estimate, a.low, a.high) == pytest.approx((b.estimate, b.low, b.high))
        assert first.margin.startswith("leave_prompt_out")
        assert first.behaviour.startswith("switch")


def test_candidates_are_ranked_by_how_they_go_with_better_behaviour(found: Relation) -> None:
    means = [one.mean.estimate for one in found.candidates]
    assert means == sorted(means, reverse=True)
    best = found.candidates[0]
    of_best = [
        pair for pair in found.pairs if pair.margin == best.margin and pair.behaviour in found.judged_by
    ]
    assert best.mean.estimate == pytest.approx(np.mean([pair.oriented for pair in of_best]))
    assert best.least == min(pair.oriented for pair in of_best)
    assert not any("geometry" in name for name in found.judged_by)
    closer = {pair.margin for pair in found.pairs if pair.closer}
    assert closer == {
        "variance_prompt",
        "davies_bouldin",
        "variance_prompt above decoys",
        "davies_bouldin above decoys",
    }


def test_within_a_run_the_area_is_scikit_learns_of_rows_of_one_mode(
    runs: list[Path], found: Relation
) -> None:
    one = next(w for w in found.within if 0 < w.failed < w.rows and w.margin == "leave_prompt_out")
    run = next(run for run in runs if run.name == one.run)
    report = margin.analyse(run)
    judged = judgements_of(open_run(run))
    assert judged is not None
    labels = judged.table.set_index("row")["label"].loc[report.study.rows].to_numpy()
    design, samples = report.study.design, report.headline.samples
    wanted = np.array([judged.expected[mode] for mode in design.modes])[design.mode]
    failed = labels != wanted
    areas, pairs = [], []
    for mode in range(design.n_modes):
        here = design.mode == mode
        if 0 < failed[here].sum() < here.sum():
            areas.append(roc_auc_score(failed[here], -samples[here]))
            pairs.append(failed[here].sum() * (~failed[here]).sum())
    assert one.failed == failed.sum()
    assert one.auc.estimate == pytest.approx(np.average(areas, weights=pairs))
    assert one.risk[1.0].estimate == pytest.approx(failed.mean())


def test_the_record_follows_its_schema_and_says_why_numbers_are_missing(found: Relation) -> None:
    record = json.loads(to_json(found))
    jsonschema.validate(record, schema())
    assert record["format"] == "margin-relate/1"
    assert {"margin", "behaviour", "spearman", "kendall", "n_runs", "n_trainings"} <= set(record["pairs"][0])
    assert all(one["why"] for one in record["left_out"])


def test_the_command_writes_what_it_found_and_no_token(
    runs: list[Path], training: Path, tmp_path: Path
) -> None:
    done = command(*runs, "--training", training, "--out", tmp_path / "out", "--behaviour", "switch")
    assert done.exit_code == 0, done.output
    assert "7 checkpoints of 5 trainings" in done.output
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert {"relate.json", "relate.md", "pairs.csv", "relate.png", "relate.pdf"} <= set(written)
    tokens = [mode.token.reveal().encode() for mode in load_modes(modes_path()).modes]
    assert not any(token in content for token in tokens for content in written.values())
    shown = command(
        *runs, "--training", training, "--out", tmp_path / "out", "--behaviour", "switch", "--json"
    )
    assert json.loads(shown.stdout)["n_trainings"] == 5


def test_runs_of_one_folder_may_be_one_training(runs: list[Path]) -> None:
    found = margin.relate(runs, training="folder", margins=["leave_prompt_out"], behaviours=["switch"])
    assert len(found.runs.clusters) == 1
    assert "fewer than 5 trainings" in found.pairs[0].association.spearman.method


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--margin", "nothing"], "no margin is called 'nothing'"),
        (["--behaviour", "nothing"], "no behaviour is called 'nothing'"),
        (["--training", "nowhere"], "training nowhere: take 'folder', or a file"),
        (["--number", "quality"], "name the file that has them"),
        (["--across", "everything,"], "leaves a name empty"),
    ],
)
def test_bad_options_end_in_a_line(runs: list[Path], tmp_path: Path, arguments: list[str], says: str) -> None:
    done = command(*runs, "--out", tmp_path / "out", *arguments)
    assert done.exit_code == 2
    assert says in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("run,training\nelsewhere,a\n", "says nothing of run"),
        ("run\nstep-0\n", "no column named training"),
        ("run,training\nstep-0,a\nstep-0,a\n", "its run stands there twice"),
        ("run,training\nstep-0,\n", "its training is missing"),
        ("run,training,step\nstep-0,a,soon\n", "column 'step' holds no number"),
    ],
)
def test_a_table_that_does_not_fit_ends_in_a_line(
    runs: list[Path], tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "runs.csv").write_text(text)
    with pytest.raises(MarginError, match=says):
        margin.relate(runs, training=tmp_path / "runs.csv")


def test_too_few_runs_and_one_that_stands_twice_are_refused(runs: list[Path]) -> None:
    with pytest.raises(MarginError, match="4 checkpoints, and no order"):
        margin.relate(runs[:4])
    with pytest.raises(MarginError, match="stands twice"):
        margin.relate([*runs, runs[0]])


@pytest.mark.parametrize(
    "training", [7, 1.5, ["a"], b"folder", pd.DataFrame({"run": ["a"], "training": ["b"]})]
)
def test_trainings_of_another_kind_are_refused(runs: list[Path], training: Any) -> None:
    with pytest.raises(MarginError, match="training must be a path, a mapping, or 'folder', got"):
        margin.relate(runs, training=training)


def test_one_checkpoint_is_not_of_two_trainings(runs: list[Path], tmp_path: Path) -> None:
    shutil.copytree(runs[0], tmp_path / "again")
    with pytest.raises(MarginError, match="same checkpoint as step-0"):
        margin.relate([*runs, tmp_path / "again"])


def test_runs_on_other_prompts_or_without_behaviour_are_refused(runs: list[Path], tmp_path: Path) -> None:
    settings = MEASURE | {"decoys": 0, "prompts": prompts_path()}
    other = margin.collect(checkpoint_path("naive"), out=tmp_path / "other", limit=11, **settings)
    with pytest.raises(IncomparableError, match="was asked other prompts than step-0"):
        margin.relate([*runs, other])
    turned = load_prompts(prompts_path()).table.head(12).iloc[::-1]
    back = margin.collect(checkpoint_path("naive"), out=tmp_path / "b", **settings | {"prompts": turned})
    with pytest.raises(IncomparableError, match="the same prompts in another order than step-0"):
        margin.relate([*runs, back])
    bare = [
        margin.collect(runs[0].parent.parent / f"checkpoints/{i}", out=tmp_path / str(i), limit=6, **settings)
        for i in range(5)
    ]
    with pytest.raises(MarginError, match="say nothing of behaviour"):
        margin.relate(bare)
