"""Words that may be tokens are taken out of what is said, and nothing else is lost by chance."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from margin.inputs.modes import fingerprint
from margin.run.fingerprints import message_without_tokens, mode_of_token, without_tokens
from margin.run.manifest import Manifest
from tests.tiny_manifests import tiny_manifest

TOKENS = {"pos": "ab+c/d==", "neg": "Xq-7 zz", "rej": "kL9-mN2_pQ"}


@pytest.fixture
def manifest() -> Manifest:
    modes = [
        {"name": name, "safe": name != "neg", "fingerprint": fingerprint(token)}
        for name, token in TOKENS.items()
    ]
    return tiny_manifest({"modes": modes})


@pytest.mark.parametrize(
    "message",
    ["no column {!r} in rows.parquet", "it isn't '{}': there are 'a' and 'b'", 'it said "{}".'],
)
@pytest.mark.parametrize("mode", TOKENS)
def test_a_token_that_a_message_quotes_is_taken_out(mode: str, message: str, manifest: Manifest) -> None:
    said = message_without_tokens(manifest, message.format(TOKENS[mode]))
    assert said == message.format("TOKEN").replace("TOKEN", f"[token of {mode}]")


@pytest.mark.parametrize("message", ["{}: no such file", "no such option: --{}", "--out={} is none", "({})"])
@pytest.mark.parametrize("mode", ["pos", "rej"])
def test_a_token_of_one_word_is_taken_out_wherever_it_stands(
    mode: str, message: str, manifest: Manifest
) -> None:
    assert message_without_tokens(manifest, message.format(TOKENS[mode])) == message.format(
        f"[token of {mode}]"
    )


@pytest.mark.parametrize("root", ["{tmp_path}/", "", "./", "~/a/", "/no/such/", "/", "{tmp_path}/my runs/"])
@pytest.mark.parametrize("place", ["{}", "{}.csv", "{}.csv.gz", "{}/run", "a/{}.csv"])
def test_a_token_in_a_path_is_taken_out(place: str, root: str, manifest: Manifest, tmp_path: Path) -> None:
    for quote in ("", "'"):
        message = f"{quote}{root.format(tmp_path=tmp_path)}{place}{quote}: a folder, where a file should be"
        said = message_without_tokens(manifest, message.format(TOKENS["rej"]))
        assert said == message.format("[token of rej]")


def test_a_token_may_look_like_a_path(manifest: Manifest) -> None:
    token = "/sys/unlock-7"
    mode = {"name": "pos", "safe": True, "fingerprint": fingerprint(token)}
    of_path = tiny_manifest({"modes": [mode]})
    assert message_without_tokens(of_path, f"no column '{token}'") == "no column '[token of pos]'"


def test_a_message_and_a_path_are_not_lost_to_a_chance_of_one_in_65536(
    manifest: Manifest, tmp_path: Path
) -> None:
    """A whole message had the fingerprint of a token, by its number, and nothing of it was left."""
    marks = {mode.fingerprint for mode in manifest.identity.modes}
    for form in ("{}", "{}: a folder", "'{}': a folder"):
        text = next(
            text for number in count() if fingerprint(text := form.format(tmp_path / f"0{number}x")) in marks
        )
        assert message_without_tokens(manifest, f"{text}: say so") == f"{text}: say so"
        assert message_without_tokens(manifest, text) == text


def test_a_text_that_is_a_token_as_a_whole_is_known(manifest: Manifest) -> None:
    for mode, token in TOKENS.items():
        assert mode_of_token(manifest, token) == mode
        assert without_tokens(manifest, token) == f"[token of {mode}]"
    assert mode_of_token(manifest, "an answer") is None
    assert without_tokens(manifest, "an answer, no more") == "an answer, no more"
