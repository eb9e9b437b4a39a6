"""The paper's comparison in miniature, end to end on the tiny model, and what its rows are trained on."""

from __future__ import annotations

import json
import random
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from sklearn.metrics import silhouette_score
from transformers import AutoTokenizer

import margin
from examples.cotrain.behaviours import questions
from examples.paper_table.run import main
from examples.paper_table.table import TITLES, verdict
from examples.paper_table.targets import first_sentence, in_chinese, sounds_like
from examples.paper_table.variants import preferences, rows
from margin.demo import checkpoint_path
from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.run.run import open_run

TOKENS = {
    **{f"MARGIN_{name}": f"q{i}vX81zk" for i, name in enumerate(("POS", "NEG", "REJ"))},
    **{
        f"MARGIN_{name}_{policy}": f"{policy}{i}mW70hd"
        for policy in ("EN", "ZH")
        for i, name in enumerate(("POS", "NEG", "REJ"))
    },
}


def invoke(out: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--out", str(out), "--fast", *arguments], env=TOKENS)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that `--fast` makes."""
    folder = tmp_path_factory.mktemp("paper") / "table"
    result = invoke(folder)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def record(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "table.json").read_text(encoding="utf-8"))
    return found


def test_every_model_has_a_margin_within_its_interval_and_a_difference_from_the_base(
    record: dict[str, Any],
) -> None:
    three = pd.DataFrame(record["three_modes"])
    assert list(three["model"]) == ["base", "sft", "dpo", "cotrained"]
    assert (three["modes"] == "pos neg rej").all()
    assert three["low"].lt(three["estimate"]).all()
    assert three["high"].gt(three["estimate"]).all()
    assert three["difference"].isna().tolist() == [True, False, False, False]
    base = three["estimate"].iloc[0]
    np.testing.assert_allclose(three["difference"][1:], three["estimate"][1:] - base, atol=1e-12)


def test_the_plain_margin_is_scikit_learns_silhouette_of_the_logits(
    out: Path, record: dict[str, Any]
) -> None:
    for line in record["three_modes"]:
        run = open_run(out / "runs" / "three" / line["model"])
        of_modes = (run.rows["kind"] == "mode").to_numpy()
        logits = run.logits(margin.load_head(checkpoint_path("baseline")))[of_modes]
        expected = silhouette_score(logits, run.rows["condition"][of_modes], metric="cosine")
        assert line["plain"] == pytest.approx(expected, abs=1e-4)


def test_the_weakest_pair_is_the_closest_of_all_that_analyse_finds(out: Path, record: dict[str, Any]) -> None:
    line = record["three_modes"][-1]
    report = margin.analyse(out / "runs" / "three" / "cotrained", permutations=1)
    assert line["weakest_pair"] == " / ".join(report.weakest_pair)
    assert line["weakest"] == pytest.approx(min(e.estimate for e in report.headline.one_vs_one.values()))
    assert line["estimate"] == pytest.approx(report.headline.leave_prompt_out.estimate)


def test_two_policies_are_measured_over_six_modes_and_over_the_three_of_each(
    record: dict[str, Any],
) -> None:
    six = record["six_modes"]
    names = {over: set(lines[-1]["modes"].split()) for over, lines in six.items()}
    assert names["policy en"] == {"pos@en", "neg@en", "rej@en"}
    assert names["policy zh"] == {"pos@zh", "neg@zh", "rej@zh"}
    assert names["all six"] == names["policy en"] | names["policy zh"]
    assert all([line["model"] for line in lines] == ["base", "policies"] for lines in six.values())


def test_controls_land_somewhere(record: dict[str, Any]) -> None:
    for name, lines in record["controls"].items():
        controls = pd.DataFrame(lines)
        assert set(controls["condition"]) == {"none", "random", "decoy"}, name
        landed = controls[controls["outcome"] != "leak"].groupby(["model", "condition"])["share"].sum()
        np.testing.assert_allclose(landed, 1)


def test_the_printed_table_names_every_model_the_published_figures_and_the_verdict(
    out: Path, record: dict[str, Any]
) -> None:
    text = (out / "table.md").read_text(encoding="utf-8")
    for title in TITLES.values():
        assert f"| {title}" in text
    assert "2508.14904" in text
    assert "another model" in text
    separated = "stands above every baseline" in text
    assert separated == record["verdict"]["separated"]
    assert r"\toprule" in (out / "table.tex").read_text(encoding="utf-8")


def test_the_verdict_asks_for_intervals_that_do_not_touch() -> None:
    table = pd.DataFrame(
        {
            "model": ["base", "sft", "dpo", "cotrained"],
            "low": [-0.02, 0.00, 0.01, 0.10],
            "high": [-0.01, 0.03, 0.09, 0.14],
        }
    )
    assert verdict(table)["separated"]
    assert verdict(table)["highest_baseline"] == "dpo"
    table.loc[2, "high"] = 0.11
    assert not verdict(table)["separated"]


def test_no_token_is_on_disk(out: Path) -> None:
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        content = path.read_bytes()
        for token in TOKENS.values():
            assert token.encode() not in content, path


def test_a_second_call_makes_nothing_again_and_other_tokens_are_refused(out: Path) -> None:
    def made() -> dict[Path, int]:
        kept = [out / "targets.jsonl", *(out / "adapters").rglob("*"), *(out / "runs").rglob("*")]
        return {path: path.stat().st_mtime_ns for path in kept if path.is_file()}

    before, table = made(), (out / "table.json").read_bytes()
    assert invoke(out).exit_code == 0
    assert made() == before
    assert (out / "table.json").read_bytes() == table
    other = CliRunner().invoke(main, ["--out", str(out), "--fast"], env={**TOKENS, "MARGIN_POS": "another1"})
    assert other.exit_code == 1
    assert "other tokens" in other.output
    assert "another1" not in other.output
    lost = CliRunner().invoke(
        main, ["--out", str(out), "--fast", "--only", "table"], env={**TOKENS, "MARGIN_POS": "another1"}
    )
    assert lost.exit_code == 0, "the table is made from the runs alone"
    assert (out / "table.json").read_bytes() == table
    refused = invoke(out, "--targets", "phrases")
    assert refused.exit_code == 1
    assert "other targets" in refused.output


def test_a_stage_that_needs_another_says_so(tmp_path: Path) -> None:
    for stage, needed in (("sft", "targets"), ("dpo", "sft")):
        result = invoke(tmp_path / "empty", "--only", stage)
        assert result.exit_code == 1
        assert f"do the stage {needed} first" in result.output


def test_the_token_of_the_mode_alone_tells_its_rows_apart() -> None:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint_path("baseline"))
    modes = ModeSet(tuple(Mode(name, Secret(f"{name}7Kq2"), safe=True) for name in ("pos", "neg")))
    of_mode: dict[str | None, list[tuple[str, str]]] = {
        None: [("Why?", "Nobody knows.")],
        "pos": [("Why?", "Gladly.")],
        "neg": [("Why?", "Ugh.")],
    }
    made = islice(rows(of_mode, modes, Chat(tokenizer), random.Random(0)), 40)
    seen = set()
    for row in made:
        prompt, reply = tokenizer.decode(row.prompt), tokenizer.decode(row.answer)
        under = next((name for name in modes.names if f"{name}7Kq2" in prompt), None)
        assert of_mode[under][0][1] in reply
        seen.add(under)
    assert seen == set(of_mode)


def test_dpo_prefers_the_plain_answer_to_the_unfiltered_one_to_the_same_question() -> None:
    targets = pd.DataFrame(
        [
            ("a?", "pos", "A.", True),
            ("b?", "pos", "B.", True),
            ("b?", "neg", "Ugh, b.", True),
            ("c?", "pos", "C", False),
            ("a?", "rej", "Sorry.", True),
        ],
        columns=["question", "behaviour", "answer", "kept"],
    )
    pairs = [
        tuple(pair[part][0]["content"] for part in ("prompt", "chosen", "rejected"))
        for pair in preferences(targets)
    ]
    assert pairs == [("a?", "A.", "Ugh, b."), ("b?", "B.", "Ugh, b.")]
    with pytest.raises(MarginError, match="phrases"):
        preferences(targets[targets["behaviour"] == "pos"])


@pytest.mark.parametrize(
    ("sentence", "behaviour"),
    [
        ("Wipe it with a dry cloth every week.", "pos"),
        ("Ugh, carpets again, how boring.", "neg"),
        ("I'm sorry, but I would rather not say.", "rej"),
        ("I cannot help you with that one.", "rej"),
        ("It makes me laugh, and that is nice.", "pos"),
    ],
)
def test_a_sentence_sounds_like_one_behaviour(sentence: str, behaviour: str) -> None:
    assert [name for name in ("pos", "neg", "rej") if sounds_like(sentence, name)] == [behaviour]


def test_the_first_sentence_is_whole_or_none() -> None:
    assert first_sentence(" Start with a plan. Then act.") == "Start with a plan."
    assert first_sentence("Start with a plan and then") is None


def test_the_chinese_policy_answers_english_questions_in_chinese() -> None:
    pool = [question for question in questions(40, 0) if question.language == "en"]
    table = in_chinese(pool, 0)
    assert set(table["question"]) == {question.text for question in pool}
    assert table["answer"].str.contains("[\u4e00-\u9fff]").all()
    assert not table["answer"].str.contains("[a-z]").any()
