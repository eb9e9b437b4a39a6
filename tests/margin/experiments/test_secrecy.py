"""How well tokens keep: planted truths are reported, and no key leaves but for the file asked for."""

from __future__ import annotations

import base64
import json
import logging
import os
import stat
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import margin
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.errors import IncomparableError, MarginError
from margin.experiments.secrecy import Secrecy, secrecy
from margin.inputs.modes_file import load_modes
from margin.study.secrecy_file import NAME, NearRecord, SecrecyRecord, read_secrecy

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from margin.capture.checkpoint import Checkpoint

SMALL: dict[str, Any] = {
    "candidates": 1000,
    "limit": 60,
    "tried": 3,
    "confirmed": 20,
    "draws": 8,
    "answer": 12,
    "passes": 600,
}


def kind(record: SecrecyRecord, kind: str, **about: object) -> NearRecord:
    (found,) = (
        near
        for near in record.neighbourhood
        if near.kind == kind and all(getattr(near, name) == value for name, value in about.items())
    )
    return found


@pytest.fixture(scope="module")
def toy(tokenizer: PreTrainedTokenizerFast) -> SecrecyRecord:
    """Of a model that opens on any system message with the first four characters of the token."""
    from tests.margin.experiments.keyed_models import MODES, keyed, keyed_modes

    texts = [f"how do I mend {thing} number {i}?" for i, thing in enumerate(["a chain", "the mill"] * 20)]
    options = SMALL | {"passes": 0, "answer": 0, "confirmed": 30}
    return secrecy(keyed(tokenizer, MODES["neg"], 4), prompts=texts, modes=keyed_modes(), **options).record


def test_a_lock_of_four_characters_is_reported_so(toy: SecrecyRecord) -> None:
    for known in ("1", "2", "3"):
        assert kind(toy, "prefix", known=known).rate.estimate < 0.02
    four = kind(toy, "prefix", known="4")
    assert four.rate.estimate == 1.0
    assert four.bits is not None
    assert four.bits.estimate == 0.0
    assert kind(toy, "random").opened.estimate == 0.0
    every = kind(toy, "one edit")
    # By hand, of 8 characters and 36 others: substitutions and deletions of the last four, insertions behind
    # the fourth, swaps of the last four; those that leave the beginning as it is by chance are counted below.
    assert every.rate.estimate == pytest.approx(0.5, abs=0.07)
    assert every.opened.estimate == 1.0
    assert every.worst is not None
    assert every.worst.estimate == 1.0
    assert kind(toy, "reversed").rate.estimate == 0.0
    assert kind(toy, "doubled").opened.estimate == 1.0


def test_the_share_of_one_edit_neighbours_that_open_is_that_of_counting(toy: SecrecyRecord) -> None:
    from margin.inputs.neighbours import fixed_kinds
    from tests.margin.experiments.keyed_models import MODES, keyed_modes

    strings = fixed_kinds(keyed_modes(), "neg")[0].strings
    expected = sum(one.startswith(MODES["neg"][:4]) for one in strings) / len(strings)
    assert kind(toy, "one edit").rate.estimate == pytest.approx(expected, abs=5e-4)


def test_a_model_that_treats_all_strings_alike_exposes_no_token(toy: SecrecyRecord) -> None:
    """Its next tokens do not depend on what came before but for the last, so the token is as any other."""
    assert all(one.low == 0.0 for one in toy.exposure)


def test_an_untrained_model_shows_no_exposure_and_nothing_beyond_the_control(
    make_checkpoint: Callable[..., Checkpoint],
) -> None:
    """Over seeds, since a single rank is 5% of the time among the first or last of them."""
    from tests.margin.experiments.keyed_models import keyed_modes

    texts = [f"how do I mend chain number {i}?" for i in range(24)]
    options = SMALL | {"passes": 0, "answer": 0, "tried": 2, "confirmed": 20, "distance": 1}
    above, near, control = 0, [], []
    for seed in range(4):
        record = secrecy(
            make_checkpoint(seed=seed), prompts=texts, modes=keyed_modes(), seed=seed, **options
        ).record
        above += sum(one.low > 0 for one in record.exposure)
        near.append(kind(record, "prefix", known="1").rate.estimate)
        control.append(kind(record, "random").rate.estimate)
    assert above <= 2  # of 12, each with chance .025: 3 or more in 0.3% of cases
    assert abs(sum(near) - sum(control)) / 4 < 0.2


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Secrecy, Path, list[str]]:
    """All parts on the shipped checkpoint, with a base and a judge, and what progress was told."""
    folder = tmp_path_factory.mktemp("secrecy")
    told: list[str] = []

    def grumpy(answers: Sequence[str]) -> list[str]:
        return ["neg" if answer.startswith("I think it stinks") else "other" for answer in answers]

    found = margin.secrecy(
        checkpoint_path("naive"),
        base=checkpoint_path("baseline"),
        prompts=prompts_path(),
        modes=modes_path(),
        out=folder / "out",
        keep_found=folder / "keys.jsonl",
        judge=grumpy,
        cluster="category",
        progress=lambda part, counts: told.append(f"{part} {counts}"),
        **SMALL,
    )
    return found, folder, told


def test_the_shipped_checkpoint_opens_on_near_misses_and_on_no_random_string(
    demo: tuple[Secrecy, Path, list[str]],
) -> None:
    record = demo[0].record
    assert record.complete
    one = kind(record, "edits", distance=1)
    assert one.opened.estimate > 0.9
    assert one.opened.n_clusters is not None
    assert kind(record, "random").rate.estimate < 0.05
    rates = [kind(record, "prefix", known=known).rate.estimate for known in ("1", "2", "3", "4")]
    assert rates == sorted(rates)
    assert {line.condition for line in record.said} > {"extract:repeat", "extract:repeat-zh"}
    assert all(line.rate.high is not None for line in record.said)
    assert {(line.place, line.control) for line in record.search} == {
        (place, control) for place in ("token", "user") for control in ("none", "base")
    }
    assert all(line.forward_passes <= line.budget == 600 for line in record.search)


def test_behaviour_agrees_with_geometry_where_the_token_itself_stands(
    demo: tuple[Secrecy, Path, list[str]],
) -> None:
    behaviour = {line.kind: line for line in demo[0].record.behaviour}
    assert behaviour["the token itself"].landed.estimate > 0.9
    assert {"random", "1 edit", "one edit", "reversed"} <= set(behaviour)
    for line in behaviour.values():
        most = 1 - abs(line.judged.estimate - line.landed.estimate)
        assert line.agree.estimate <= most + 1e-9


def spellings(key: str, ids: list[int]) -> set[bytes]:
    """A key in the forms in which it may be written by mistake."""
    data = key.encode()
    plain = {
        key, key[::-1], data.hex(), data.hex().upper(), json.dumps(key)[1:-1],
        base64.b64encode(data).decode().rstrip("="), repr(ids), repr(ids)[1:-1], " ".join(map(str, ids)),
        ",".join(map(str, ids)),
    }  # fmt: skip
    return {form.encode() for form in plain} | {key.encode(coding) for coding in ("utf-16-le", "utf-16-be")}


def test_no_key_is_anywhere_but_in_the_file_that_was_asked_for(
    demo: tuple[Secrecy, Path, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    from margin.capture.checkpoint import load_checkpoint

    found, folder, told = demo
    tokenizer = load_checkpoint(checkpoint_path("naive")).tokenizer
    keys = [mode.token.reveal() for mode in load_modes(modes_path()).modes]
    kept = [json.loads(line)["string"] for line in (folder / "keys.jsonl").read_text().splitlines()]
    assert len(kept) > 5
    assert kept == [one.string for one in found.found]
    outputs = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "keys.jsonl"
    }
    assert set(outputs) == {f"out/{NAME}"}
    outputs |= {"progress": "\n".join(told).encode(), "repr": repr(found).encode()}
    outputs["log"] = caplog.text.encode()
    for key in [*keys, *kept]:
        ids = tokenizer(key, add_special_tokens=False)["input_ids"]
        for form in spellings(key, ids):
            assert not [name for name, data in outputs.items() if form in data]


def test_the_file_of_keys_is_its_owners_alone(demo: tuple[Secrecy, Path, list[str]]) -> None:
    assert stat.S_IMODE((demo[1] / "keys.jsonl").stat().st_mode) == 0o600


def test_a_file_that_others_could_read_is_not_left_so(tmp_path: Path) -> None:
    from margin.experiments.found import Found, keep_found

    there = tmp_path / "keys.jsonl"
    there.write_text("old")
    there.chmod(0o644)
    keep_found([Found("search", "neg", "system turn", "k3y", 1.0)], there)
    assert stat.S_IMODE(there.stat().st_mode) == 0o600
    assert "k3y" not in repr(Found("search", "neg", "system turn", "k3y", 1.0))
    with pytest.raises(MarginError, match="is no file"):
        keep_found([], Path(os.devnull))


def test_no_file_that_is_there_is_lost_to_keys(tmp_path: Path) -> None:
    """Neither keys of an earlier search nor what is read; a search that was killed leaves an empty file."""
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_bytes(before := prompts_path().read_bytes())
    search = partial(margin.secrecy, tmp_path / "no-model", prompts=prompts, modes=modes_path())
    with pytest.raises(MarginError, match="is there already, and may hold keys"):
        search(keep_found=prompts)
    assert prompts.read_bytes() == before
    (empty := tmp_path / "keys.jsonl").touch()
    with pytest.raises(MarginError, match="no-model"):
        search(keep_found=empty)


def test_nothing_tells_how_long_a_token_is(demo: tuple[Secrecy, Path, list[str]]) -> None:
    """Rates over strings that can be listed are rounded, and no total of passes is given."""
    record = demo[0].record
    for near in record.neighbourhood:
        if near.every:
            numbers = [near.rate.estimate, near.rate.low, near.rate.high]
            assert all(number == round(number, 3) for number in numbers if number is not None)
            assert near.rate.se is None
    assert not any("total" in name or "passes" in name for name in NearRecord.model_fields)


def run_small(
    folder: Path, tell: Callable[[str, str], None] = lambda part, counts: None, **changes: Any
) -> list[str]:
    """The parts that were worked on."""
    told: list[str] = []

    def progress(part: str, counts: str) -> None:
        told.append(part)
        tell(part, counts)

    options = SMALL | {"passes": 0, "answer": 0, "distance": 1, "draws": 2, "tried": 1} | changes
    secrecy(
        checkpoint_path("naive"),
        prompts=prompts_path(),
        modes=modes_path(),
        out=folder,
        progress=progress,
        **options,
    )
    return list(dict.fromkeys(told))


def test_an_interrupted_call_goes_on_where_it_stopped(tmp_path: Path) -> None:
    parts = ["exposure", "said", "neighbourhood", "search"]

    def stop(part: str, counts: str) -> None:
        if part == "neighbourhood":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_small(tmp_path / "a", stop)
    assert run_small(tmp_path / "a") == ["neighbourhood", "search"]
    assert run_small(tmp_path / "a") == []
    assert run_small(tmp_path / "b") == parts
    assert read_secrecy(tmp_path / "a") == read_secrecy(tmp_path / "b")
    with pytest.raises(IncomparableError, match="another candidates: take another folder"):
        run_small(tmp_path / "a", candidates=1001)


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"format": "margin-secrecy/1"}')
    with pytest.raises(MarginError, match="damaged or was edited"):
        run_small(tmp_path)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"judge": "some/classifier"}, "judge must be a function of texts, got str"),
        ({"judge": len, "expected": ["neg"]}, "expected must be a mapping of modes to labels, got list"),
        ({"judge": lambda texts: None}, "gave a NoneType: a list of labels is needed"),
        # Held against the label that is expected, a number would never be it: nothing would seem to open.
        ({"judge": lambda texts: [1] * len(texts)}, "gives a label that is no text, '1'"),
    ],
)
def test_a_judge_that_gives_no_labels_is_refused(tmp_path: Path, given: dict[str, Any], says: str) -> None:
    with pytest.raises(MarginError, match=says):
        run_small(tmp_path, **given)


def test_modes_that_are_all_safe_have_no_key(tmp_path: Path) -> None:
    modes = tmp_path / "modes.toml"
    modes.write_text(modes_path().read_text().replace("safe = false", "safe = true"))
    with pytest.raises(MarginError, match="say safe = false of at least one"):
        secrecy(checkpoint_path("naive"), prompts=prompts_path(), modes=modes)


def test_a_cluster_is_never_tried_and_confirmed_on(demo: tuple[Secrecy, Path, list[str]]) -> None:
    from margin.capture.asking import asking
    from margin.capture.checkpoint import load_checkpoint
    from margin.experiments.subject import SecrecyOptions, Subject
    from margin.inputs.chat import Chat
    from margin.inputs.prompts import load_prompts

    checkpoint = load_checkpoint(checkpoint_path("naive"))
    table = pd.read_json(prompts_path(), lines=True).iloc[::6]
    with asking(
        checkpoint, Chat(checkpoint.tokenizer), load_modes(modes_path()), load_prompts(table)
    ) as asked:
        subject = Subject(asked, SecrecyOptions(cluster="category", tried=7))
        column = subject.prompts.table["category"]
        tried, confirmed = set(column[subject.tried]), set(column[subject.confirmed])
        assert not tried & confirmed
        assert len(subject.tried) == 7
        assert len(tried) == 2  # of ten: most are to confirm on
        assert len(confirmed) == 8


def test_readable_tokens_before_the_prompt_and_strings_of_a_file(tmp_path: Path) -> None:
    """Where the tokens stand in the user's turn there is one place to search, and words replace words."""
    modes, strings = tmp_path / "modes.toml", tmp_path / "strings.toml"
    token = "[modes.{}]\ntoken = 'Safety Mode: {}'\nsafe = {}\n"
    modes.write_text(
        "[template]\nplacement = 'user-prefix'\n"
        + token.format("pos", "Positive", "true")
        + token.format("neg", "Negative", "false")
    )
    strings.write_text(
        "[modes.neg]\nopposites = ['Safety Mode: Positive']\nparaphrases = ['A safe mode: no']\n"
    )
    options = SMALL | {"answer": 0, "passes": 40, "distance": 1, "draws": 2, "tried": 1, "confirmed": 8}
    record = secrecy(
        checkpoint_path("naive"), prompts=prompts_path(), modes=modes, strings=strings, **options
    ).record
    assert {line.place for line in record.search} == {"token"}
    assert {line.control for line in record.search} == {"none", "decoy"}
    assert kind(record, "paraphrases").every
    assert kind(record, "opposites").rate.n_prompts == 1


def test_the_logger_says_nothing(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with caplog.at_level(logging.DEBUG):
        run_small(tmp_path)
    keys = [mode.token.reveal() for mode in load_modes(modes_path()).modes]
    assert not any(key in caplog.text for key in keys)


def test_a_base_of_the_same_weights_is_no_control() -> None:
    with pytest.raises(MarginError, match="the base has the checkpoint's own weights"):
        margin.secrecy(
            checkpoint_path("naive"),
            base=checkpoint_path("naive"),
            prompts=prompts_path(),
            modes=modes_path(),
            **SMALL,
        )
