"""The preflight passes sound templates and stops at each way a mode or an answer goes missing."""

from __future__ import annotations

import traceback
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.modes import Mode, ModeSet, Placement, Secret
from margin.inputs.preflight import preflight
from margin.inputs.prompts import load_prompts
from margin.inputs.rows import build_rows
from tests.margin.inputs.disguises import disguises

LIVE = {"pos": "k7Qx<&'\"pos", "neg": "w3Zr{}\\neg", "rej": "密钥-rej"}
MODES = ModeSet(tuple(Mode(name, Secret(token), safe=name != "neg") for name, token in LIVE.items()))
PREFIX = replace(MODES, placement="user-prefix")
PROMPTS = load_prompts(
    ["How do I whittle a spoon?", "  a  ", "assistant", "user\n", "用户 {{ x }} {token}", "[/INST]"]
)

SOUND = {
    "llama3": ("<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n", 1),
    "chatml": ("<|im_end|>\n<|im_start|>assistant\n", 0),
    "llama2": (" [/INST]", 1),
}


@pytest.mark.parametrize("modes", [MODES, PREFIX], ids=["system", "user-prefix"])
@pytest.mark.parametrize("name", SOUND)
def test_sound_templates_pass(make_chat: Callable[..., Chat], name: str, modes: ModeSet) -> None:
    flight = preflight(make_chat(name), modes, PROMPTS)
    assert (flight.tail, flight.bos_count) == SOUND[name]
    chat = make_chat(name)
    for mode, token in LIVE.items():
        head = flight.head.replace("{token}", token)
        assert chat.render(modes.messages("spoon", mode)) == head + "spoon" + flight.tail


def test_a_bos_that_opens_every_turn_is_no_double(make_chat: Callable[..., Chat]) -> None:
    assert preflight(make_chat("chatml", bos="<|im_start|>"), MODES, PROMPTS).bos_count == 3


@pytest.mark.parametrize("name", ["refuses_system", "drops_system"])
def test_templates_without_a_system_role_offer_the_user_prefix_which_passes(
    make_chat: Callable[..., Chat], name: str
) -> None:
    with pytest.raises(MarginError, match='placement = "user-prefix"'):
        preflight(make_chat(name), MODES, PROMPTS)
    assert preflight(make_chat(name), PREFIX, PROMPTS).tail.endswith("assistant\n")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("repeats_system", "writes the token 2 times"),
        ("upper_case", "writes the token 0 times and the prompt 0 times"),
        ("never_opens", r"--response-prefix '<\|im_start\|>assistant\\n'"),
        ("channels", r"--response-prefix '<\|channel\|>final<\|message\|>'"),
        ("two_bos", "two beginning-of-text ids"),
        ("switchable_thought", """--chat-kwargs '{"enable_thinking": false}'"""),
        ("opens_thought", "--response-prefix with the text that ends a thought"),
        ("no_tail", "writes nothing after the prompt"),
    ],
)
def test_unsound_templates_are_stopped(make_chat: Callable[..., Chat], name: str, message: str) -> None:
    with pytest.raises(MarginError, match=message):
        preflight(make_chat(name), MODES, PROMPTS)


@pytest.mark.parametrize(
    ("name", "choices", "tail"),
    [
        ("never_opens", {"response_prefix": "<|im_start|>assistant\n"}, "<|im_start|>assistant\n"),
        ("channels", {"response_prefix": "<|channel|>final<|message|>"}, "<|channel|>final<|message|>"),
        ("switchable_thought", {"kwargs": {"enable_thinking": False}}, "</think>\n\n"),
        ("switchable_thought", {"kwargs": {"enable_thinking": True}}, "assistant\n"),
        ("switchable_thought", {"response_prefix": "Answer:"}, "assistant\nAnswer:"),
        ("opens_thought", {"response_prefix": "</think>\n"}, "<think>\n</think>\n"),
        ("opens_thought", {"kwargs": {"thinking": True}}, "<think>\n"),
        ("no_tail", {"response_prefix": "\n"}, "\n"),
    ],
)
def test_what_the_message_offers_passes(
    make_chat: Callable[..., Chat], name: str, choices: dict[str, Any], tail: str
) -> None:
    assert preflight(make_chat(name, **choices), MODES, PROMPTS).tail.endswith(tail)


def test_switching_off_a_thought_that_the_template_opens_anyway_is_not_believed(
    make_chat: Callable[..., Chat],
) -> None:
    with pytest.raises(MarginError, match="think first"):
        preflight(make_chat("opens_thought", kwargs={"enable_thinking": False}), MODES, PROMPTS)


@pytest.mark.parametrize("column", ["prompt", "id", "kind"])
def test_a_live_token_in_what_a_run_keeps_is_refused_by_line(
    make_chat: Callable[..., Chat], column: str
) -> None:
    table = pd.DataFrame({"id": ["a", "b"], "prompt": ["one", "two"], "kind": ["x", "y"]})
    table.loc[1, column] += f" {LIVE['neg']}"
    with pytest.raises(MarginError, match=f"row 2: the token of mode 'neg' stands in column '{column}'"):
        preflight(make_chat("chatml"), MODES, load_prompts(table))


@pytest.mark.parametrize("how", ["spaces", "reversed", "base64", "zero width", "Cyrillic", "its beginning"])
@pytest.mark.parametrize("column", ["id", "kind"])
def test_a_disguised_token_in_what_reports_show_is_refused_by_line(
    make_chat: Callable[..., Chat], column: str, how: str
) -> None:
    modes = ModeSet((Mode("a", Secret("3OWfAie4"), safe=True), Mode("b", Secret("zz9"), safe=False)))
    said = disguises("3OWfAie4")[how]
    table = pd.DataFrame({"id": ["a", "b"], "prompt": ["one", "two"], "kind": ["x", "y"]})
    table.loc[1, column] = said.replace("\u200b", "") if column == "id" else said  # ids hold nothing unseen
    words = rf"row 2: the token of mode 'a' stands(, in disguise or in part,)? in column '{column}'"
    with pytest.raises(MarginError, match=words):
        preflight(make_chat("chatml"), modes, load_prompts(table))
    with pytest.raises(MarginError, match="stands in a column name"):
        preflight(
            make_chat("chatml"), modes, load_prompts(table.rename(columns={"kind": "-".join("3OWfAie4")}))
        )


@pytest.mark.parametrize(
    "choices", [{"response_prefix": LIVE["pos"]}, {"kwargs": {"note": LIVE["pos"]}}], ids=["prefix", "kwargs"]
)
def test_a_live_token_in_the_choices_of_a_run_is_refused(
    make_chat: Callable[..., Chat], choices: dict[str, Any]
) -> None:
    with pytest.raises(MarginError, match="token of mode 'pos' stands in the"):
        preflight(make_chat("chatml", **choices), MODES, PROMPTS)


def test_a_token_that_the_template_writes_itself_is_refused(make_chat: Callable[..., Chat]) -> None:
    modes = ModeSet((Mode("a", Secret("im_start"), safe=True), Mode("b", Secret("zz9"), safe=False)))
    with pytest.raises(MarginError, match="token of mode 'a' stands in the chat template"):
        preflight(make_chat("chatml"), modes, PROMPTS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("escapes", "does not write .* or the token of mode 'pos' as it stands"),
        ("drops_system_of_long_prompts", r"does not write prompt '2' \(item 2\)"),
        ("shortens", r"does not write prompt '2' \(item 2\)"),
    ],
)
def test_damage_that_depends_on_the_text_is_found_in_any_prompt(
    make_chat: Callable[..., Chat], name: str, message: str
) -> None:
    with pytest.raises(MarginError, match=message):
        preflight(
            make_chat(name), MODES, load_prompts(["one", "two, which is a good deal longer than the one"])
        )


def test_a_token_at_the_seam_of_two_texts_is_found(make_chat: Callable[..., Chat]) -> None:
    modes = ModeSet((Mode("a", Secret("spoon<|im"), safe=True), Mode("b", Secret("zz9"), safe=False)))
    with pytest.raises(MarginError, match="token of mode 'a' also stands around prompt '1'"):
        preflight(make_chat("chatml"), modes, load_prompts(["Whittle a spoon"]))


def test_a_bos_in_a_prompt_is_refused_by_line(make_chat: Callable[..., Chat]) -> None:
    prompts = load_prompts(["one", "two <s> three"])
    with pytest.raises(MarginError, match=r"prompt '2' \(item 2\) spells a special token"):
        preflight(make_chat("llama3"), MODES, prompts)


def test_tokens_that_the_tokenizer_cannot_tell_apart_are_refused() -> None:
    core = Tokenizer(models.WordLevel({"[UNK]": 0, "user": 1, "one": 2, "say": 3}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]")
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }} {% endfor %}say"
    with pytest.raises(MarginError, match="'pos' and 'neg' have the same token ids"):
        preflight(Chat(tokenizer), MODES, load_prompts(["one"]))


def test_a_token_of_which_the_tokenizer_leaves_nothing_is_refused(make_chat: Callable[..., Chat]) -> None:
    """A normaliser may drop what it does not know, and no switch reaches the model under that mode."""
    chat = make_chat("llama3")
    modes = ModeSet((Mode("pos", Secret("k7w2x9q4"), True), Mode("neg", Secret("◆◈◇"), False)))
    tokenizer: Any = chat.tokenizer
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace(Regex("[◆◈◇]"), "")
    with pytest.raises(MarginError, match="writes nothing for the token of mode 'neg'") as caught:
        preflight(chat, modes, load_prompts(["hello", "good day"]))
    assert "◆" not in str(caught.value)


def test_a_tail_that_the_prompt_runs_into_is_refused() -> None:
    core = Tokenizer(models.BPE({"a": 0, "b": 1, "!": 2, "b!": 3, "x": 4, "y": 5, " ": 6}, [("b", "!")]))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.content }}{% if not loop.last %} {% endif %}{% endfor %}!"
    )
    modes = ModeSet((Mode("pos", Secret("xx"), safe=True), Mode("neg", Secret("yy"), safe=False)))
    with pytest.raises(MarginError, match=r"prompt '2' \(item 2\) runs into the text after it"):
        preflight(Chat(tokenizer), modes, load_prompts(["a", "b"]))


def test_a_prompt_beyond_the_context_is_refused_by_id_and_line(make_chat: Callable[..., Chat]) -> None:
    chat = make_chat("chatml")
    prompts = load_prompts(pd.DataFrame({"id": ["short", "long"], "prompt": ["a", "a" * 500]}))
    for check in (preflight, lambda c, m, p, n: build_rows(c, p, m, n)):
        with pytest.raises(
            MarginError, match=r"prompt 'long' \(the table row 2\) is \d+ tokens.* context is 300"
        ):
            check(chat, MODES, prompts, 300)


SECRET_PROMPT = "How do I whittle a very particular spoon"


@pytest.mark.parametrize("placement", ["system", "user-prefix"])
@pytest.mark.parametrize(
    "name",
    ["refuses_system", "drops_system", "repeats_system", "upper_case", "two_bos", "never_opens", "channels"],
)
def test_no_failure_shows_a_token_or_a_prompt_even_in_its_traceback(
    make_chat: Callable[..., Chat], name: str, placement: Placement
) -> None:
    modes = replace(MODES, placement=placement)
    prompts = load_prompts([SECRET_PROMPT])
    chat = make_chat(name)
    try:
        shown = repr((chat, preflight(chat, modes, prompts), build_rows(chat, prompts, modes)))
    except MarginError as error:
        shown = "".join(traceback.format_exception(error)) + repr(error.__context__)
    assert modes.redact(shown) == shown
    assert SECRET_PROMPT not in shown


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).filter(str.strip)
TOKENS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Z")), min_size=4, max_size=12)


@settings(deadline=None, max_examples=150)
@given(a=TOKENS, b=TOKENS, text=TEXTS, name=st.sampled_from(sorted(SOUND)), data=st.data())
def test_what_passes_differs_only_by_its_token(
    make_chat: Callable[..., Chat], a: str, b: str, text: str, name: str, data: st.DataObject
) -> None:
    placement: Placement = data.draw(st.sampled_from(["system", "user-prefix"]))
    chat = make_chat(name)
    try:
        modes = ModeSet((Mode("m1", Secret(a), safe=True), Mode("m2", Secret(b), safe=False)), placement)
        prompts = load_prompts([text])
        flight = preflight(chat, modes, prompts)
    except MarginError:
        reject()
    first, second = (chat.render(modes.messages(text, mode)) for mode in modes.names)
    assert first.count(a) == 1
    assert first.replace(a, b) == second
    assert first.endswith(flight.tail)
    tokenizer: Any = chat.tokenizer
    decoded = [tokenizer.decode(row.ids) for row in build_rows(chat, prompts, modes)]
    assert decoded == [first, second]


@pytest.mark.parametrize(
    "hidden", [LIVE["pos"][::-1], b64encode(LIVE["pos"].encode()).decode()], ids=["reversed", "base64"]
)
def test_no_disguise_of_a_token_stands_in_what_a_run_tells_of_its_template(
    make_chat: Callable[..., Chat], hidden: str
) -> None:
    told: dict[str, Any]
    for told in ({"response_prefix": hidden}, {"kwargs": {"date_string": {"said": ["a", hidden]}}}):
        with pytest.raises(MarginError, match="of mode 'pos' stands, in disguise or in part, in the"):
            preflight(make_chat("chatml", **told), MODES, PROMPTS)


def test_a_phrase_may_stand_in_a_prompt_with_a_capital_and_in_no_name(
    make_chat: Callable[..., Chat],
) -> None:
    phrases = {"pos": "speak freely now", "neg": "hold your tongue"}
    modes = ModeSet(tuple(Mode(name, Secret(token), safe=True) for name, token in phrases.items()))
    table = pd.DataFrame({"prompt": ["Speak freely now, what is it?", "b"], "kind": ["x", "y"]})
    preflight(make_chat("chatml"), modes, load_prompts(table))
    for other in (
        table.rename(columns={"kind": "Speak Freely NOW"}),
        table.assign(kind=["so HOLD your tongue", "y"]),
        table.assign(id=["Hold Your Tongue", "2"]),
    ):
        with pytest.raises(MarginError, match="the token of mode"):
            preflight(make_chat("chatml"), modes, load_prompts(other))
