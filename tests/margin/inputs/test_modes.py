"""Mode sets as users write them, and tokens that stay secret."""

from __future__ import annotations

import copy
import hashlib
import html
import json
import logging
import pickle
import unicodedata
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from margin.errors import MarginError, words
from margin.inputs.conditions import CONDITIONS
from margin.inputs.labels import LABELS
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.inputs.modes_file import load_modes
from margin.text import brief

POS, NEG = "k7Qx-pos!", "w3Zr-neg!"
PAIR = f"""
[modes.pos]
token = "{POS}"
safe = true
[modes.neg]
token = "{NEG}"
safe = false
"""


def load(tmp_path: Path, text: str) -> ModeSet:
    path = tmp_path / "modes.toml"
    path.write_text(text, encoding="utf-8")
    return load_modes(path)


def pair(a: str = POS, b: str = NEG) -> ModeSet:
    return ModeSet((Mode("pos", Secret(a), safe=True), Mode("neg", Secret(b), safe=False)))


def test_tokens_come_from_the_environment_or_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARGIN_ZH", "环境-token")
    modes = load(tmp_path, PAIR + '[modes."pos@zh"]\ntoken_env = "MARGIN_ZH"\nsafe = true\n')
    assert modes.names == ["pos", "neg", "pos@zh"]
    assert [mode.safe for mode in modes.modes] == [True, False, True]
    assert [mode.token.reveal() for mode in modes.modes] == [POS, NEG, "环境-token"]


def test_messages_put_the_token_where_the_placement_says(tmp_path: Path) -> None:
    system = load(tmp_path, '[template]\nsystem = "Key: {token}."\n' + PAIR)
    assert system.messages("Hi {token} {x}", "neg") == [
        {"role": "system", "content": f"Key: {NEG}."},
        {"role": "user", "content": "Hi {token} {x}"},
    ]
    prefix = load(tmp_path, '[template]\nplacement = "user-prefix"\n' + PAIR)
    assert prefix.messages("Hi", "pos") == [{"role": "user", "content": f"{POS}\n\nHi"}]
    for modes in (system, prefix):
        assert modes.messages("Hi", None) == [{"role": "user", "content": "Hi"}]
        assert modes.messages("Hi", "pos") == modes.messages_for_token("Hi", POS)
    with pytest.raises(MarginError, match="no mode 'maybe'"):
        system.messages("Hi", "maybe")


def test_fingerprint_is_the_first_16_bits_of_sha256() -> None:
    mode = pair().modes[0]
    assert mode.fingerprint == hashlib.sha256(POS.encode()).digest()[:2].hex()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least two modes, got 0"),
        ('[modes.pos]\ntoken = "a1"\nsafe = true\n', "at least two modes, got 1"),
        (PAIR.replace(NEG, POS), "'pos' and 'neg' have the same token"),
        (PAIR.replace(NEG, POS + "2"), "token of mode 'pos' is part of the token of mode 'neg'"),
        (PAIR.replace(NEG, ""), "token of mode 'neg' is empty"),
        (PAIR.replace(NEG, " \\t"), "token of mode 'neg' is empty"),
        (PAIR.replace(NEG, NEG + " "), "mode 'neg' begins or ends with white space"),
        (
            PAIR.replace(NEG, "\\ufeff" + NEG),
            "mode 'neg' begins or ends with a character that cannot be seen",
        ),
        (
            PAIR.replace(NEG, NEG + "\\u200b"),
            "mode 'neg' begins or ends with a character that cannot be seen",
        ),
        (PAIR.replace(NEG, "a\\u0007b"), "mode 'neg' holds a control character"),
        (PAIR.replace(NEG, "eg"), "is in a mode's name or in"),
        (f'[template]\nsystem = "{POS} {{token}}"\n{PAIR}', "is in a mode's name or in"),
        (PAIR.replace("safe = true", ""), "needs safe = true or safe = false"),
        (PAIR.replace("safe = true", 'safe = "yes"'), "needs safe = true or safe = false"),
        (PAIR.replace("safe = true", "safe = true\nsave = true"), "unknown key 'save' in .modes.pos."),
        (PAIR.replace("safe = true", 'safe = true\ntoken_env = "X"'), "either token_env or token"),
        (PAIR.replace("modes.pos", 'modes."a b"'), "mode name 'a b'"),
        (PAIR.replace("modes.pos", "modes.none"), "name of a control condition"),
        ("modes = 3", "modes must be a table"),
        ("[[modes]]\nname = 'pos'\n", r"modes must be a table: write \[modes.NAME\]"),
        ("modes.pos = 3", r"modes.pos must be a table: write \[modes.pos\]"),
        ("[modes]\n", "at least two modes, got 0"),
        (PAIR.replace(f'"{POS}"', "2024-05-01"), r"token in \[modes.pos\] must be a string"),
        (PAIR.replace(f'"{POS}"', "1" * 5000), "not valid TOML that can be read"),
        (PAIR.replace(f'"{POS}"', "[" * 10**5), "not valid TOML"),
        (PAIR.replace('token = "', '"', 1), "not valid TOML at line 3"),
        (PAIR.replace("token =", f'"{POS}" =', 1), r"modes.toml: unknown key in \[modes.pos\]: known are"),
        (PAIR.replace(f'"{POS}"', '"\\ud800"'), "not valid TOML at line 3"),
        (PAIR.replace("modes.pos", 'modes."\\u001b[2J"').replace("safe", "save", 1), "U.001B"),
        (PAIR.replace("[modes.pos]", "[modes.pos@en]"), r"line 2 .a name with @ takes quotes"),
        (f'[template]\nplacement = "sytem"\n{PAIR}', "unknown placement 'sytem'"),
        (f'[template]\nsystem = "no slot"\n{PAIR}', r"system in \[template\] must hold \{token\} once"),
        (PAIR + f'[modes.rej]\ntoken = "{POS}', r"modes\.toml is not valid TOML at "),
        (PAIR.replace('"\nsafe = false', ""), "not valid TOML at line 6"),
    ],
)
def test_a_bad_file_is_named_in_one_line_without_a_token(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(MarginError, match=message) as caught:
        load(tmp_path, text)
    said = str(caught.value)
    assert said.startswith(str(tmp_path / "modes.toml"))
    assert "\n" not in said
    assert POS not in said
    assert NEG not in said


@pytest.mark.parametrize("short", ["e", "of", "tok"])
def test_a_token_of_a_few_characters_is_refused_in_words_that_hold_still(tmp_path: Path, short: str) -> None:
    """Taken out of the message, a token of one letter would leave nothing of it."""
    with pytest.raises(MarginError) as caught:
        load(tmp_path, PAIR.replace(NEG, short).replace("modes.neg", "modes.x"))
    assert str(caught.value).startswith(
        f"{tmp_path / 'modes.toml'}: the token of mode 2 has fewer than 4 char"
    )
    assert "[token" not in str(caught.value)
    assert load(tmp_path, PAIR.replace(NEG, "toke")).names == ["pos", "neg"]


@pytest.mark.parametrize("spelling", [str, str.upper, str.title, lambda name: name.replace("o", "ｏ")])
@pytest.mark.parametrize("name", sorted({*CONDITIONS, *LABELS}))
def test_a_mode_is_not_called_what_reports_call_something_else(
    name: str, spelling: Callable[[str], str]
) -> None:
    with pytest.raises(MarginError, match="rename the mode"):
        Mode(spelling(name), Secret("a-token"), safe=True)


@pytest.mark.parametrize("other", ["p\u043es", "P\u043es", "ｐos", "\u0440os"])
def test_modes_that_no_eye_tells_apart_are_refused_by_name(other: str) -> None:
    with pytest.raises(MarginError, match=r"modes 'pos' and .* look alike") as caught:
        ModeSet((Mode("pos", Secret("a-token"), safe=True), Mode(other, Secret("another"), safe=False)))
    assert ("[U+" in str(caught.value)) == (other != "ｐos")  # of the wide letter an eye sees that it is one
    ModeSet((Mode("pos", Secret("a-token"), safe=True), Mode("Pos", Secret("another"), safe=False)))


@pytest.mark.parametrize("name", ["pos", "outsider", "none-of-it", "pos@en", "safe", "安全"])
def test_other_names_are_a_users_own(name: str) -> None:
    assert Mode(name, Secret("a-token"), safe=True).name == name


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "modes.toml").write_bytes(b"\xef\xbb\xbf" + PAIR.replace("\n", "\r\n").encode())
    assert load_modes(tmp_path / "modes.toml") == pair()


def test_the_hint_about_quotes_is_given_only_where_it_helps(tmp_path: Path) -> None:
    with pytest.raises(MarginError) as caught:
        load(tmp_path, PAIR.replace("safe = true", "safe = yes"))
    assert str(caught.value).endswith("modes.toml is not valid TOML at line 4")


@pytest.mark.parametrize("mark", ['"', "'"])
def test_quotation_marks_around_a_token_of_the_environment_are_no_part_of_it(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARGIN_POS", f"{mark}{POS}{mark}")
    with pytest.raises(MarginError, match=r"MARGIN_POS of .* holds a token in quotation marks") as caught:
        load(tmp_path, PAIR.replace(f'token = "{POS}"', 'token_env = "MARGIN_POS"'))
    assert POS not in str(caught.value)
    monkeypatch.setenv("MARGIN_POS", f"{POS}{mark}")  # one alone belongs to it
    assert load(tmp_path, PAIR.replace(f'token = "{POS}"', 'token_env = "MARGIN_POS"')).names


def test_an_unset_variable_is_named_but_a_token_in_its_place_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MARGIN_POS", raising=False)
    table = PAIR.replace(f'token = "{POS}"', 'token_env = "{}"')
    with pytest.raises(MarginError, match="MARGIN_POS, which is not set"):
        load(tmp_path, table.replace("{}", "MARGIN_POS"))
    with pytest.raises(MarginError) as caught:
        load(tmp_path, table.replace("{}", POS))
    assert POS not in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(MarginError, match=r"nowhere\.toml: No such file"):
        load_modes(tmp_path / "nowhere.toml")
    with pytest.raises(MarginError, match="cannot read the modes file"):
        load_modes(tmp_path)
    (tmp_path / "latin.toml").write_bytes(PAIR.encode() + b"# \xe9")
    with pytest.raises(MarginError, match="not UTF-8"):
        load_modes(tmp_path / "latin.toml")


def test_nothing_made_of_modes_shows_a_token(caplog: pytest.LogCaptureFixture) -> None:
    modes = pair()
    secret = modes.modes[0].token
    logging.getLogger("test").warning("%s %r %s", modes, secret, f"{secret:>20}")
    shown = [
        repr(modes),
        str(modes),
        f"{modes}",
        f"{secret}",
        format(secret, "s"),
        str(vars(modes)),
        caplog.text,
    ]
    assert not any(token in text for token in (POS, NEG) for text in shown)
    for keep in (pickle.dumps, copy.deepcopy, asdict, json.dumps):
        with pytest.raises(TypeError):
            keep(modes)
    with pytest.raises(TypeError):
        json.dumps(secret)


def test_equal_sets_are_equal_and_others_are_not() -> None:
    assert pair() == pair()
    assert pair() != pair(b="another")
    assert replace(pair(), placement="user-prefix") != pair()


TOKENS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Z")), min_size=3, max_size=12)


@given(TOKENS, st.text(), st.text())
@example("ab\\", "", "")
def test_redact_removes_a_token_however_it_is_written(token: str, left: str, right: str) -> None:
    if token in "token of pos" or token in "[token of neg]":
        return
    try:
        modes = pair(token, "second-token-of-the-test")
    except MarginError:
        return
    plain = modes.redact(left + token + right)
    assert token not in plain.replace("[token of pos]", "\x00").replace("[token of neg]", "\x00")
    for written in (repr(token)[1:-1], json.dumps(token)[1:-1]):
        assert modes.redact(f"<{written}>") == "<[token of pos]>"


@pytest.mark.parametrize("token", ['Zé"<w&\\环', "p0rt 7yhm", "a\u0301b'c%"])
def test_redact_removes_a_token_escaped_for_a_page_or_a_url(token: str) -> None:
    modes = pair(token, "second-token-of-the-test")
    composed = {form: unicodedata.normalize(form, token) for form in ("NFC", "NFD")}
    ways = [html.escape(token), html.escape(token).replace("&quot;", "&#34;"), token.replace('"', "&QUOT;")]
    ways += [token.replace('"', "&#x22;"), "".join(f"&#{ord(c)};" for c in token), ascii(token)[1:-1]]
    ways += [quote(token), quote(token, safe=""), quote_plus(token), quote(composed["NFD"], safe="")]
    ways += [*composed.values(), repr(token.encode())[2:-1], json.dumps(json.dumps(token))[3:-3]]
    for way in ways:
        assert modes.redact(f"<{way}>") == "<[token of pos]>", way
        assert modes.mode_in(way) == "pos"
    assert modes.redact("%41&#65;&amp;") == "%41&#65;&amp;"


@pytest.mark.parametrize(
    "way", ["ZQKW81VX", "zqkw81vx", "ｚｑｋｗ８１ｖｘ", "a zQkW81vX column", "%7aQKW81VX"]
)
def test_a_token_in_other_case_is_a_token(way: str) -> None:
    modes = pair("zqKW81vx", "p0rt7yhm")
    assert modes.mode_in(way) == "pos"
    with pytest.raises(MarginError, match="public"):
        ModeSet(modes.modes, system=f"{way} {{token}}")
    if way.isascii():
        assert "81vx" not in modes.redact(f"no file {way}").lower()


def test_a_short_token_that_is_a_word_in_other_case_is_none() -> None:
    modes = pair("SAFE", "FREE")
    assert modes.mode_in("unsafe at will") is None
    assert modes.redact("a safe word") == "a safe word"


@pytest.mark.parametrize("token", ["zqKW81vx", "open the pod bay", "Zé<w 环\\x"])
def test_what_is_cut_before_it_is_redacted_keeps_no_piece_of_a_token(token: str) -> None:
    modes = pair(token, "second-token-of-the-test")
    for long in range(330):
        for text in (
            f"{'n' * long} {token} more",
            f"{'n ' * long}{token}{' m' * 200}",
            f"{'n' * long}{token}{'n' * 300}",
        ):
            for cut in (brief(text), brief(text, 40), brief(repr(text)), words(ValueError(text))):
                said = modes.redact(cut)
                assert token[:4] not in said
                assert repr(token)[1:5] not in said
    assert modes.redact(brief(f"{'n' * 40} {token} {'m' * 40}")).endswith("[token of pos] …")


@pytest.mark.parametrize("name", ["zqkw81vx", "ZQKW81VX", "a.zqkw81vx.b"])
@pytest.mark.parametrize("fault", ["", "safe = 1", "extra = 2", "safe = true\nunknown = 1"])
def test_a_token_that_is_a_modes_name_is_not_quoted(
    name: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARGIN_POS", "zqkw81vx")
    text = f'[modes."{name}"]\ntoken_env = "MARGIN_POS"\n{fault or "safe = true"}\n'
    with pytest.raises(MarginError) as refused:
        load(tmp_path, text + f'[modes.neg]\ntoken = "{NEG}"\nsafe = false\n')
    assert "zqkw81vx" not in str(refused.value).lower()
    tokens = {name: "zqkw81vx", "neg": NEG}
    with pytest.raises(MarginError) as refused:
        ModeSet(tuple(Mode(mode, Secret(token), safe=True) for mode, token in tokens.items()))
    assert "zqkw81vx" not in str(refused.value).lower()
