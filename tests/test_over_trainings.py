"""Records of trainings, and the table over them that the README shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from examples.cotrain.behaviours import PHRASES
from examples.paper_table.numbers import Measured, language
from examples.paper_table.seeds import main, printed, table, two_level
from margin.errors import MarginError
from margin.stats.estimate import Estimate

PAPER_TABLE = Path(__file__).parents[1] / "examples" / "paper_table"
BASES = sorted((PAPER_TABLE / "measured").iterdir())


def one(name: str, **numbers: float) -> Measured:
    ends = {key: Estimate(x, x - 0.1, x + 0.1, level=0.95, n_prompts=60) for key, x in numbers.items()}
    return Measured(name, {"steps": 3}, ends)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    measured = one("without-random-3", SAM=0.25, share=0.5)
    measured.write(tmp_path)
    assert Measured.read(tmp_path / "without-random-3.json") == measured
    assert measured.recipe == "without-random"


def test_trainings_of_a_recipe_make_one_line_a_number(tmp_path: Path) -> None:
    trainings = [one(f"naive-{seed}", SAM=value) for seed, value in enumerate((0.1, 0.2, 0.4))]
    for training in (*trainings, one("base-0", SAM=0.0)):
        training.write(tmp_path)
    found = table(tmp_path).set_index("recipe")
    expected = two_level([training.numbers["SAM"] for training in trainings])
    assert found.loc["naive", ["estimate", "low", "high"]].tolist() == pytest.approx(
        [expected.estimate, expected.low, expected.high]
    )
    assert found.loc["naive", "each"] == [0.1, 0.2, 0.4]
    assert found["trainings"].to_dict() == {"base": 1, "naive": 3}


def test_what_makes_no_table_is_said_in_a_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["table", str(tmp_path)])
    assert result.exit_code == 1
    assert "no record" in result.output
    (tmp_path / "naive-0.json").write_text('{"numbers": 3}')
    with pytest.raises(MarginError, match=r"naive-0\.json is no record"):
        table(tmp_path)
    one("naive-0", SAM=0.1).write(tmp_path)
    one("naive-1", share=0.1).write(tmp_path)
    with pytest.raises(MarginError, match=r"naive .* not measured alike"):
        table(tmp_path)


def test_an_answer_is_of_the_language_it_is_written_in() -> None:
    for name, of_behaviour in PHRASES.items():
        for behaviour in ("pos", "neg", "rej"):
            for part in ("openers", "bodies"):
                for texts in of_behaviour[behaviour][part].values():
                    assert {language(text.replace("{topic}", "")) for text in texts} == {name}


def tables(text: str) -> dict[str, list[str]]:
    """The lines of every pipe table, by its head."""
    found = [block.splitlines() for block in text.split("\n\n") if block.startswith("| |")]
    return {lines[0]: lines for lines in found}


def test_the_readme_shows_what_the_records_hold() -> None:
    text = (PAPER_TABLE / "README.md").read_text(encoding="utf-8").partition("## Over trainings")[2]
    shown = tables(text)
    held = {head: lines for base in BASES for head, lines in tables("\n".join(printed(table(base)))).items()}
    assert shown.keys() == held.keys()
    for head, lines in shown.items():
        assert len(lines) > 10
        assert set(lines) <= set(held[head])
