"""Requested against observed, and geometry against judge, on a run and on hand-made labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from margin.demo import modes_path
from margin.errors import IncomparableError, MarginError
from margin.inputs.modes_file import load_modes
from margin.run.run import Run
from margin.run.run_tables import ANSWERS
from margin.run.seal import checksum
from margin.study.behaviour import behaviour, judgements_of
from margin.study.judgements import Judgements, expecting, judge_answers, judge_refusals
from margin.study.judgements_file import read_judgements, write_judgements
from margin.study.placement import nearest_modes, placement_of
from tests.intervals import lower, upper


@pytest.fixture(scope="module")
def judged(answered: Run) -> Judgements:
    return expecting(judge_refusals(answered), answered.modes)


def by_hand(run: Run) -> Judgements:
    """Labels that follow no rule: of every fifth row "b", of the others "a"."""
    rows = run.rows["row"]
    return Judgements("hand", pd.DataFrame({"row": rows, "label": np.where(rows % 5 == 0, "b", "a")}))


def test_counts_are_prompts_any_of_whose_draws_got_the_label(answered: Run) -> None:
    labels = by_hand(answered)
    found = behaviour(answered, labels)
    table = answered.rows.assign(label=labels.table["label"])
    for one in found.select("observed"):
        part = table[table["condition"] == one.condition]
        hits = part[part["label"] == one.label]
        assert (one.count, one.answers) == (hits["prompt_id"].nunique(), len(hits))
        exact = stats.binomtest(one.count, part["prompt_id"].nunique()).proportion_ci(0.95, "exact")
        assert (lower(one.value), upper(one.value)) == pytest.approx((exact.low, exact.high))
        assert one.draws == part["draw"].nunique()
    matrix = found.matrix()
    assert list(matrix.index) == ["pos", "neg", "rej", "none", "random"]
    assert (matrix.loc[["pos", "neg", "rej", "none"]].sum(axis=1) == len(answered.prompts)).all()
    assert matrix.loc["random"].sum() > len(answered.prompts)
    assert len(found.to_frame()) == len(found.observations)


def test_labels_that_stand_for_no_mode_are_compared_with_none(answered: Run) -> None:
    found = behaviour(answered, by_hand(answered))
    assert found.select("agreement") == []
    assert len(found.disagreements) == 0


def test_the_modes_refuse_where_they_should(answered: Run, judged: Judgements) -> None:
    found = behaviour(answered, judged)
    matrix = found.matrix()
    n = len(answered.prompts)
    assert matrix.loc["rej", "refusal"] >= 0.8 * n
    assert matrix.loc["pos", "answer"] >= 0.9 * n
    assert matrix.loc["neg", "answer"] >= 0.9 * n
    assert next(f for f in found.select("agreement") if f.condition == "modes").value.estimate > 0.9


def test_agreement_is_that_of_the_nearest_modes_label(answered: Run, judged: Judgements) -> None:
    found = behaviour(answered, judged)
    nearest = nearest_modes(answered, placement_of(answered))["nearest"].to_numpy()
    expected = np.where(nearest == "rej", "refusal", "answer")
    labels = judged.table["label"].to_numpy()
    for condition, rows in {
        "modes": answered.rows["kind"] == "mode",
        "random": answered.rows["condition"] == "random",
    }.items():
        agreed = {f.quantity: f.value for f in found.observations if f.condition == condition}
        assert ("kappa" in agreed) == (condition == "modes")
        assert agreed["agreement"].estimate == pytest.approx((expected == labels)[rows].mean())
        if condition == "modes":
            assert agreed["kappa"].estimate == pytest.approx(cohen_kappa_score(expected[rows], labels[rows]))
    assert found.disagreements["row"].tolist() == np.flatnonzero(expected != labels).tolist()


def test_labels_named_as_modes_are_compared_as_modes(answered: Run) -> None:
    nearest = nearest_modes(answered, placement_of(answered))
    labels = nearest["nearest"].where(nearest["row"] != 7, "neg")
    given = expecting(
        Judgements("me", pd.DataFrame({"row": nearest["row"], "label": labels})), answered.modes
    )
    assert given.expected == {mode: mode for mode in answered.modes}
    found = behaviour(answered, given)
    listed = found.disagreements
    assert listed["row"].tolist() == ([7] if nearest["nearest"][7] != "neg" else [])
    assert found.select("kappa")[0].value.estimate > 0.9


def test_expected_labels_can_be_given(answered: Run, judged: Judgements) -> None:
    given = {"pos": "safe", "neg": "unsafe", "rej": "safe"}
    labels = judged.table.assign(label="safe")
    found = behaviour(answered, expecting(Judgements("guard", labels), answered.modes, given=given))
    assert found.expected == given
    assert (found.disagreements["nearest"] == "neg").all()
    assert len(found.disagreements) > 0
    with pytest.raises(MarginError, match="no mode 'nil'"):
        expecting(judged, answered.modes, ["nil"])


def test_scores_are_averaged_by_condition_and_over_all_modes(answered: Run) -> None:
    rows = answered.rows
    table = pd.DataFrame({"row": rows["row"], "label": "a", "constructive": (rows["row"] % 3).astype(float)})
    found = behaviour(answered, Judgements("me", table)).select("constructive_safety")
    scores = {one.condition: one.value.estimate for one in found}
    for condition in ("pos", "random"):
        of_condition = table["constructive"][rows["condition"] == condition]
        assert scores[condition] == pytest.approx(of_condition.sum() / (2 * len(of_condition)))
    assert scores["modes"] == pytest.approx(table["constructive"][rows["kind"] == "mode"].mean() / 2)


def test_text_is_listed_only_when_asked(answered: Run, judged: Judgements) -> None:
    assert not {"prompt", "answer"} & set(behaviour(answered, judged).disagreements)
    wrong = replace(judged, expected={"pos": "refusal", "neg": "refusal", "rej": "answer"})
    listed = behaviour(answered, wrong, text=True).disagreements
    assert listed["answer"].tolist() == answered.answers["answer"][listed["row"]].tolist()


def test_an_empty_answer_goes_to_no_judge(answered: Run) -> None:
    run = Run(answered.path, answered.manifest)
    run.__dict__["answers"] = answered.answers.assign(answer=[" ", *answered.answers["answer"][1:]])
    asked: list[str] = []

    def judge(texts: Sequence[str]) -> list[str]:
        asked.extend(texts)
        return ["a"] * len(texts)

    found = judge_answers(run, judge, "me")
    assert found.table["label"].tolist() == ["empty", *["a"] * (len(answered.rows) - 1)]
    assert " " not in asked
    with pytest.raises(MarginError, match="1 labels for 143 answers"):
        judge_answers(run, lambda texts: ["a"], "me")


def test_judgements_are_kept_without_text_and_given_back(
    answered: Run, judged: Judgements, tmp_path: Path
) -> None:
    run = Run(tmp_path, answered.manifest)
    assert read_judgements(run) is None
    write_judgements(judged, run)
    found = read_judgements(run)
    assert found is not None
    assert found.table.equals(judged.table)
    assert (found.judge, found.expected) == (judged.judge, judged.expected)
    kept = (tmp_path / "judgements.parquet").read_bytes() + pq.read_table(
        tmp_path / "judgements.parquet"
    ).to_pandas().to_csv().encode()
    assert not any(text.encode() in kept for text in answered.answers["answer"] if len(text) > 9)


def test_judgements_of_another_run_are_refused(answered: Run, judged: Judgements, tmp_path: Path) -> None:
    run = Run(tmp_path, answered.manifest)
    write_judgements(judged, run)
    for other in (
        answered.manifest.replace(identity=answered.manifest.identity.replace(seed=99)),
        answered.manifest.replace(files=answered.manifest.files | {ANSWERS: "other"}),
    ):
        with pytest.raises(IncomparableError, match="judgements of another run"):
            read_judgements(Run(tmp_path, other))
    (tmp_path / "judgements.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(MarginError, match="judgements"):
        read_judgements(run)


@pytest.mark.parametrize("change", [{"judge": 3}, {"expected": "answer"}, {"run": None}])
def test_a_header_that_lacks_who_judged_is_refused_whoever_sealed_it(
    answered: Run, judged: Judgements, tmp_path: Path, change: dict[str, Any]
) -> None:
    run = Run(tmp_path, answered.manifest)
    path = write_judgements(judged, run)
    table = pq.read_table(path)
    header = json.loads(table.schema.metadata[b"margin"])
    assert list(header) == ["format", "run", "judge", "expected", "checksum"]
    del header["checksum"]
    header = {key: value for key, value in (header | change).items() if value is not None}
    columns = {name: [str(table[name].type), table[name].to_pylist()] for name in table.column_names}
    header["checksum"] = checksum([header, columns])
    pq.write_table(table.replace_schema_metadata({b"margin": json.dumps(header).encode()}), path)
    with pytest.raises(MarginError) as error:
        read_judgements(run)
    again = "does not say who judged, and what was expected: run margin judge again"
    assert str(error.value) == f"{path} {again}"


def test_a_run_without_answers_has_no_behaviour_and_says_so(answered: Run, tmp_path: Path) -> None:
    files = {name: digest for name, digest in answered.manifest.files.items() if name != ANSWERS}
    run = Run(tmp_path, answered.manifest.replace(files=files))
    assert judgements_of(run) is None
    with pytest.raises(MarginError, match="holds no answers"):
        judge_refusals(run)


def test_no_live_token_is_in_the_answers(answered: Run) -> None:
    modes = load_modes(modes_path())
    assert all(modes.mode_in(text) is None for text in answered.answers["answer"])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (lambda texts: None, "gave a NoneType: a list of labels is needed"),
        (lambda texts: "a" * len(texts), "gave a str: a list of labels is needed"),
        (lambda texts: dict.fromkeys(range(len(texts)), "a"), "gave a dict: a list of labels is needed"),
        (
            lambda texts: [f"label {place}" for place, _ in enumerate(texts)],
            "different labels: use at most 50",
        ),
        (lambda texts: ["said: " + "word " * 20] * len(texts), "a label has 1 to 64 characters"),
        (lambda texts: ["\x1b[2J"] * len(texts), "a label has 1 to 64 characters, all seen"),
    ],
)
def test_a_judge_of_texts_gives_labels_and_nothing_else(
    answered: Run, given: Callable[[Sequence[str]], Any], says: str
) -> None:
    """An answer given back as its label would be copied into a file that holds none."""
    with pytest.raises(MarginError, match=says) as caught:
        judge_answers(answered, given, "mine")
    assert caught.value.args[0].isprintable()


@pytest.mark.parametrize("other", ["Refusal", "REFUSAL", "ｒefusal", "r\u0435fusal"])
def test_a_label_spelt_in_two_ways_is_refused(answered: Run, judged: Judgements, other: str) -> None:
    """Counted apart, half of the refusals would be missing, and an expected one never come."""
    mixed = judged.table.assign(label=["refusal", other] * (len(judged.table) // 2))
    with pytest.raises(MarginError, match="spelt in two ways"):
        Judgements("me", mixed)
    with pytest.raises(MarginError, match="spelt in two ways"):
        expecting(judged, answered.modes, given={"rej": other})


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (("POS", "neg"), "label 'POS' is spelt 'pos' here: write it so"),
        (("Rej ", "POS"), "label 'POS' is spelt 'pos' here"),
        (("Refusal", "answer"), "label 'Refusal' is spelt 'refusal' here"),
        (("REFUSAL", "ANSWER"), "label 'ANSWER' is spelt 'answer' here"),
    ],
)
def test_labels_that_are_names_but_for_their_spelling_are_refused(
    answered: Run, judged: Judgements, labels: tuple[str, str], said: str
) -> None:
    """Nothing would be expected of any mode, and no rate of what was asked for be given."""
    others = Judgements("me", judged.table.assign(label=list(labels) * (len(judged.table) // 2)))
    with pytest.raises(MarginError, match=f"^judge me: {said}"):
        expecting(others, answered.modes)
    given = expecting(others, answered.modes, given={"pos": labels[0]})
    assert given.expected == {"pos": labels[0]}


@pytest.mark.parametrize("label", [None, 1, float("nan"), ["answer"]])
def test_an_expected_label_that_is_no_text_is_refused(answered: Run, judged: Judgements, label: Any) -> None:
    with pytest.raises(MarginError, match=r"^expected of mode 'pos' is .*, which is no text: give a label$"):
        expecting(judged, answered.modes, given={"pos": label})


def test_an_expected_label_that_is_nearly_one_of_the_judges_is_refused(
    answered: Run, judged: Judgements
) -> None:
    """None of the answers would bear it; one that is unlike all may be what the judge found nowhere."""
    with pytest.raises(MarginError, match=r"expected of mode 'pos': 'anwser' .*did you mean 'answer'"):
        expecting(judged, answered.modes, given={"pos": "anwser"})
    for other in ("grumpy", "unanswer", "answer 2"):
        assert expecting(judged, answered.modes, given={"pos": other}).expected["pos"] == other


def test_a_mode_that_is_to_refuse_and_not_to_is_refused(answered: Run, judged: Judgements) -> None:
    with pytest.raises(MarginError, match="say one of them"):
        expecting(judged, answered.modes, ["rej"], {"rej": "answer"})
    assert expecting(judged, answered.modes, ["rej"], {"rej": "refusal"}).expected["rej"] == "refusal"


def test_refusal_modes_are_not_passed_by(answered: Run, judged: Judgements) -> None:
    """Where labels have no name for a refusal nothing could be expected; where none refuses, refusals are."""
    others = Judgements("me", judged.table.assign(label="safe"))
    with pytest.raises(MarginError, match="no label is called 'refusal'"):
        expecting(others, answered.modes, ["rej"])
    assert expecting(others, answered.modes).expected == {}
    for modes in ((), ("rej",)):
        none = expecting(Judgements("me", judged.table.assign(label="answer")), answered.modes, modes)
        assert none.expected == {"pos": "answer", "neg": "answer", "rej": "refusal"}


def test_an_expected_label_is_as_plain_as_a_label(answered: Run, judged: Judgements) -> None:
    for label in ("\x1b[2J", "x" * 65, ""):
        with pytest.raises(MarginError, match="a label"):
            expecting(judged, answered.modes, given={"pos": label})
