"""A sample of answers for a person to label, and the labelled file back: nothing wrong passes in silence."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

import margin
from margin.analysis.behaviour.audited import Audit
from margin.cli import main
from margin.demo import modes_path
from margin.errors import MarginError
from margin.inputs.modes_file import load_modes
from margin.report.analyse import analyse
from margin.report.write import schema
from margin.run.files import parquet_bytes, sha256_of
from margin.run.run import Run, open_run
from margin.study.audit import DrawnAudit, draw_audit
from margin.study.judgements_file import read_judgements
from tests.intervals import holds

SECRETS = [mode.token.reveal() for mode in load_modes(modes_path()).modes]
COLUMNS = ["drawn", "row", "prompt_id", "condition", "draw", "prompt", "answer", "label"]


@pytest.fixture
def run(answered: Run, tmp_path: Path) -> Run:
    """A copy to write into."""
    return open_run(shutil.copytree(answered.path, tmp_path / "run"))


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def rewritten(run: Run, **tables: pd.DataFrame) -> Run:
    """The run with other tables in the place of its own."""
    manifest, files = run.manifest, dict(run.manifest.files)
    for name, table in tables.items():
        path = run.path / f"{name}.parquet"
        path.write_bytes(parquet_bytes(table))
        files[path.name] = sha256_of(path)
    type(manifest)(**(manifest.to_dict() | {"files": files})).write(run.path)
    return open_run(run.path)


def judged(run: Run) -> pd.Series:
    """The matcher's label of each row."""
    margin.judge(run)
    kept = read_judgements(run)
    assert kept is not None
    return kept.table.set_index("row")["label"]


def file_of(drawn: DrawnAudit) -> pd.DataFrame:
    if drawn.path.suffix == ".csv":
        return pd.read_csv(drawn.path, dtype=str, keep_default_na=False)
    return pd.read_json(drawn.path, lines=True, dtype=False)


def labelled(drawn: DrawnAudit, label: Callable[[int], str]) -> Path:
    """The sample as a person hands it back: the label of each row."""
    table = file_of(drawn)
    table["label"] = [label(int(row)) for row in table["row"]]
    path = drawn.path.with_name(f"labelled{drawn.path.suffix}")
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_json(path, orient="records", lines=True, force_ascii=False)
    return path


def cli(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def audit_of(run: Run, path: Path, **settings: Any) -> Audit:
    found = margin.judge(run, audit=path, **settings).audit
    assert found is not None
    return found


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.usefixtures("umask")
def test_the_sample_shows_prompts_and_answers_and_not_what_the_judge_said(run: Run, suffix: str) -> None:
    labels = judged(run)
    drawn = draw_audit(run, 60, out=run.path / f"sample.{suffix}")
    assert stat.S_IMODE(drawn.path.stat().st_mode) == 0o600
    table = file_of(drawn)
    assert list(table) == COLUMNS
    assert (table["label"] == "").all()
    rows = table["row"].astype(int)
    texts = run.answers.set_index("row")["answer"]
    assert table["answer"].tolist() == texts[rows].tolist()
    assert table["prompt"].tolist() == run.prompts.set_index("id")["prompt"][table["prompt_id"]].tolist()
    found = pd.crosstab(run.rows.set_index("row")["condition"][rows], labels[rows])
    for line in drawn.allocation.to_dict("records"):
        assert found.loc[line["condition"], line["label"]] == line["drawn"] >= min(2, line["answers"])
    assert drawn.allocation["drawn"].sum() == len(table) == 60
    assert rows.nunique() == 60
    assert not rows.is_monotonic_increasing
    assert labels[rows].tolist() != sorted(labels[rows])


def test_a_seed_says_which_answers_are_drawn(run: Run) -> None:
    rows = [
        file_of(draw_audit(run, 30, seed=seed, out=run.path / f"{name}.csv"))["row"].tolist()
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert rows[0] == rows[1]
    assert set(rows[0]) != set(rows[2])


def test_what_is_all_labelled_is_corrected_to_what_the_person_said(run: Run) -> None:
    labels = judged(run)
    truth = dict(zip(labels.index, np.random.default_rng(0).permutation(labels), strict=True))
    found = audit_of(run, labelled(draw_audit(run, 10_000), truth.__getitem__))
    conditions = run.rows.set_index("row")["condition"]
    assert {one.condition for one in found.rates} == set(conditions)
    for one in found.rates:
        rows = conditions.index[conditions == one.condition]
        assert one.answers == one.audited == len(rows)
        assert one.corrected.estimate == pytest.approx(np.mean([truth[row] == one.label for row in rows]))
        assert one.judged.estimate == pytest.approx((labels[rows] == one.label).mean())
    for known in found.accuracies:
        rows = [row for row in labels.index if truth[row] == known.label and conditions[row] in run.modes]
        assert known.hits == len(rows)
        assert known.sensitivity is not None
        assert known.sensitivity.estimate == pytest.approx((labels[rows] == known.label).mean())


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_sample_corrects_a_judge_that_is_often_wrong(run: Run, suffix: str) -> None:
    """The person calls every second refusal an answer: under rej the judge is off by a half."""
    labels = judged(run)
    wrong = {row for place, row in enumerate(labels.index[labels == "refusal"]) if place % 2}
    path = labelled(
        draw_audit(run, 80, out=run.path / f"a.{suffix}"),
        lambda row: "answer" if row in wrong else str(labels[row]),
    )
    found = audit_of(run, path)
    rej = next(one for one in found.rates if (one.condition, one.label) == ("rej", "refusal"))
    assert rej.judged.estimate == 1
    assert rej.differs
    assert holds(rej.corrected, 0.5)
    known = {one.label: one for one in found.accuracies}
    specificity, sensitivity = known["refusal"].specificity, known["refusal"].sensitivity
    assert sensitivity is not None
    assert sensitivity.estimate == pytest.approx(1)
    assert specificity is not None
    of_modes = labels[run.rows["kind"].to_numpy() == "mode"]
    answers = int((of_modes == "answer").sum())
    true = answers / (answers + len(wrong & set(of_modes.index)))
    assert holds(specificity, float(true))
    assert found.undistinguished() == []


def test_an_audit_is_kept_beside_the_run_and_reported(run: Run) -> None:
    labels = judged(run)
    path = labelled(draw_audit(run, 60), lambda row: str(labels[row]))
    done = cli("judge", run.path, "--audit", path, "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)["audit"]
    report = analyse(run, permutations=9)
    record = report.to_dict()
    jsonschema.validate(json.loads(json.dumps(record)), schema())
    assert json.loads(json.dumps(record["audit"])) == printed
    keys = [table.key for table in report.tables()]
    assert keys[keys.index("behaviour") :][:5] == [
        "behaviour",
        "agreement",
        "disagreements",
        "audit",
        "judge",
    ]
    assert "0 of 10 rates of the judge (refusal)" in " ".join(str(fact) for fact in report.facts())
    # Judged again, with the same labels: it stays. With others: it holds no longer.
    assert margin.judge(run).audit is not None
    assert margin.judge(run, lambda texts: ["answer"] * len(texts)).audit is None
    assert analyse(run, permutations=9).to_dict()["audit"] is None


def test_a_judge_that_cannot_tell_modes_apart_says_so(run: Run) -> None:
    """What the person says has nothing to do with what the judge says."""
    rng = np.random.default_rng(0)
    guess = dict(zip(run.rows["row"], rng.permutation(["answer", "refusal"] * 1000), strict=False))
    judged(run)
    found = audit_of(run, labelled(draw_audit(run, 100), guess.__getitem__))
    assert found.undistinguished() == [("pos", "rej"), ("neg", "rej")]
    alarms = [str(fact) for fact in analyse(run, permutations=9).facts() if fact.alarm]
    assert any("not shown to tell apart pos and rej, neg and rej" in fact for fact in alarms), alarms


def test_a_label_that_only_the_person_gives_has_a_rate_and_no_sensitivity_to_speak_of(run: Run) -> None:
    labels = judged(run)
    path = labelled(
        draw_audit(run, 60), lambda row: "evasive" if labels[row] == "refusal" else str(labels[row])
    )
    found = audit_of(run, path)
    known = {one.label: one for one in found.accuracies}
    assert known["refusal"].sensitivity is None
    assert not known["refusal"].tells
    evasive = known["evasive"].sensitivity
    assert evasive is not None
    assert evasive.estimate == 0
    assert next(
        one for one in found.rates if (one.condition, one.label) == ("rej", "evasive")
    ).corrected.estimate == pytest.approx(1)


def test_prompts_that_hang_together_are_the_units(run: Run) -> None:
    labels = judged(run)
    path = labelled(draw_audit(run, 60), lambda row: str(labels[row]))
    for one in audit_of(run, path, cluster="language").rates:
        assert one.corrected.n_clusters == 2
        assert one.corrected.n_prompts == 24


Spoil = Callable[[pd.DataFrame], pd.DataFrame]


def _with(column: str, value: object) -> Spoil:
    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[3, column] = value
        return table

    return spoil


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_with("label", ""), r"1 of 60 rows bear no label yet, the first is .* line 5: .*answer, refusal"),
        (_with("label", "  "), "1 of 60 rows bear no label yet"),
        (lambda t: t.assign(label=""), "60 of 60 rows bear no label yet"),
        (_with("label", "Refusal"), "line 5: label 'Refusal' is 'refusal' with the judge"),
        (_with("label", "refused"), "'refused' is no label of the judge's .*did you mean 'refusal'"),
        (_with("label", "anwser"), "'anwser' is no label of the judge's .*did you mean 'answer'"),
        (_with("label", "r\u0435fusal"), r"'r\[U\+0435\]fusal' are one, spelt in two ways"),
        (lambda t: t.assign(label="y"), r"no label is one of the judge's \(answer, refusal\)"),
        (_with("label", "x" * 65), "a label has 1 to 64 characters"),
        (lambda t: t.drop(index=[3, 9]), r"lacks 2 of the lines that were drawn \(4, 10\)"),
        (lambda t: t.drop(columns="label"), "no column named label"),
        (_with("drawn", "4"), "column drawn is not as it was written"),
        (_with("drawn", None), "not of one sample"),
        (_with("row", "100000"), "not in the run"),
        (lambda t: pd.concat([t, t.iloc[[0]]]), "stood in .* before: keep one"),
        (_with("prompt_id", "another"), "another prompt_id in the run"),
        (lambda t: t.drop(columns="drawn")[t["condition"] != "neg"], "under 'neg' .* 2 are needed"),
        (lambda t: t.iloc[:0], "holds no labels"),
    ],
)
def test_what_is_wrong_or_missing_is_said_in_a_line(run: Run, spoil: Spoil, says: str) -> None:
    labels = judged(run)
    path = labelled(draw_audit(run, 60), lambda row: str(labels[row]))
    spoil(pd.read_csv(path, dtype=str)).to_csv(path, index=False)
    with pytest.raises(MarginError, match=says):
        margin.judge(run, audit=path)
    done = cli("judge", run.path, "--audit", path)
    assert done.exit_code == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_sample_of_one_judge_is_none_of_another(run: Run) -> None:
    labels = judged(run)
    path = labelled(draw_audit(run, 60), lambda row: str(labels[row]))

    def guard(texts: Sequence[str]) -> list[str]:
        return ["refusal" if len(text) % 2 else "answer" for text in texts]

    with pytest.raises(MarginError, match="drawn by other labels than these of guard"):
        margin.judge(run, guard, audit=path)


def test_what_somebody_may_have_labelled_is_never_written_over(run: Run) -> None:
    first = cli("judge", run.path, "--judge", "refusal", "--draw-audit", "40")
    assert first.exit_code == 0, first.output
    assert "Answers to label" in first.stdout
    before = (run.path / "audit.csv").read_bytes()
    again = cli("judge", run.path, "--draw-audit", "40")
    assert again.exit_code == 2
    assert "is there already, and may hold somebody's labels" in again.stderr
    assert (run.path / "audit.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "Missing option '--judge'"),
        (("--draw-audit", "3"), "3 answers are too few"),
        (("--draw-audit", "40", "--out", "a.xlsx"), "use .csv or .jsonl"),
        (("--draw-audit", "40", "--out", f"{SECRETS[0]}.csv"), "is the token of mode"),
        (("--audit", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_bad_options_end_in_a_line(run: Run, options: tuple[str, ...], says: str) -> None:
    done = cli("judge", run.path, *options)
    assert done.exit_code == 2
    assert says in done.stderr
    assert SECRETS[0] not in done.output
    assert not list(run.path.glob("*.csv"))


def test_a_run_without_answers_has_none_to_label(run: Run) -> None:
    without = run.manifest.to_dict()
    del without["files"]["answers.parquet"]
    type(run.manifest)(**without).write(run.path)
    with pytest.raises(MarginError, match="collect it with --generate"):
        draw_audit(run.path, 40)


def test_live_tokens_stay_out_of_the_sample_and_of_what_is_kept(run: Run) -> None:
    answers = run.answers.assign(answer=f"Of course: {SECRETS[1]}, it says.")
    told = rewritten(run, answers=answers)
    drawn = draw_audit(told, 40)
    text = drawn.path.read_text(encoding="utf-8")
    assert "Of course: [token of neg], it says." in text
    assert not any(secret in text for secret in SECRETS)
    path = labelled(drawn, lambda row: SECRETS[1] if row else "answer")
    done = cli("judge", told.path, "--audit", path)
    assert done.exit_code == 2
    assert "a label is the token of mode 'neg'" in done.stderr
    assert SECRETS[1] not in done.output
    assert not (told.path / "judgements.parquet").exists()


def test_answers_and_ids_that_a_spreadsheet_would_take_for_formulas_come_back(run: Run) -> None:
    answers = run.answers.assign(answer="=1+1\nand more")
    ids = {name: f"-{name}" for name in run.prompts["id"]}
    odd = rewritten(
        run,
        answers=answers,
        prompts=run.prompts.assign(id=run.prompts["id"].map(ids)),
        rows=run.rows.assign(prompt_id=run.rows["prompt_id"].map(ids)),
    )
    path = labelled(draw_audit(odd, 40), lambda row: "answer")
    cells = pd.read_csv(path, dtype=str)
    assert cells["answer"].str.startswith("'=1+1").all()
    assert cells["prompt_id"].str.startswith("'-").all()
    found = audit_of(odd, path)
    assert {(one.label, one.corrected.estimate) for one in found.rates} == {("answer", 1), ("refusal", 0)}
