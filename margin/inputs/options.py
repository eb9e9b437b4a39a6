"""The options of collecting: one field each, with its default, its range and what it means.

`margin.collect` takes them as keywords, and the command line makes an option of each. To add one, enter it
into `CaptureOptions` and `CaptureKeywords`, and read it where it acts.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from textwrap import TextWrapper
from typing import Any, Literal, TypedDict, TypeVar, get_args, get_origin, get_type_hints

from margin.errors import MarginError
from margin.inputs.conditions import CONDITIONS, by_name
from margin.inputs.decoys import DECOY_PROMPTS
from margin.inputs.kinds import as_kind, in_words, what_it_is

F = TypeVar("F", bound=Callable[..., Any])

HERE = "{options}"
"""What stands in a docstring for the options."""

MADE_HERE = ("layers", "positions", "generate", "save_logits", "measure_after", "thought_tokens")
"""Options that ask the model itself: of states which another engine made there is what there is."""


class CaptureKeywords(TypedDict, total=False):
    """The fields of `CaptureOptions`, for those who check types."""

    layers: str | Sequence[int]
    dtype: str
    device: str | None
    batch_tokens: int | Literal["auto"]
    noise_prompts: int
    chat_kwargs: Mapping[str, Any] | None
    response_prefix: str
    chat_template: str | None
    measure_after: str
    thought_tokens: int
    save_logits: bool
    positions: int
    generate: int
    limit: int | None
    controls: Sequence[str]
    attacks: str | Path | None
    decoys: int | str | Path
    decoy_prompts: int
    extracts: str | Path | None
    draws: int
    seed: int
    top_k: int
    shard_rows: int
    trust_remote_code: bool
    quiet: bool


def _option(
    default: Any,
    help: str,
    *,
    at_least: int | None = None,
    unit: str = "",
    decides: bool = False,
    on_command_line: bool = True,
) -> Any:
    about = {"help": help, "at_least": at_least, "unit": unit, "decides": decides}
    return field(default=default, metadata=about | {"on_command_line": on_command_line})


_CONTROLS = "Conditions beside the modes, on the command line with commas between them: " + "; ".join(
    f"{name} ({CONDITIONS[name].help})" for name in by_name()
)


@dataclass(frozen=True, kw_only=True)
class CaptureOptions:
    """How rows are made, run and kept: all that `margin.collect` may be told beside what it reads and writes.

    Of each field the metadata say `help` (what it means), `at_least` (the smallest number it may be), `unit`,
    `decides` (whether a run of another value is another run) and `on_command_line`.

    Raises
    ------
    MarginError : a value of another type, or a number below what it must at least be.
    """

    layers: str | Sequence[int] = _option(
        "last",
        "Layers whose states are kept: none, last, all, every:N (and the last), or numbers such as 0,8,-1; 0 "
        "is the embeddings, L the output of block L.",
    )
    dtype: str = _option(
        "auto", "What the model computes in: float32, bfloat16 or float16; auto: as its weights are."
    )
    device: str | None = _option(
        None,
        "As torch names it; auto spreads a large model over all, tp splits it over the processes of a "
        "launch. CUDA where there is any, unless given.",
    )
    batch_tokens: int | Literal["auto"] = _option(
        1024,
        "Tokens a batch may hold: speed and memory, and the numbers by rounding only. auto: found by trying. "
        "Where memory runs out it is halved, and no row lost.",
        at_least=1,
        unit="tokens",
    )
    noise_prompts: int = _option(
        8,
        "Prompts run again one by one, in float32 where memory allows, and in other batches: how far their "
        "margins differ is the noise floor. 0: not measured.",
        at_least=0,
    )
    chat_kwargs: Mapping[str, Any] | None = _option(
        None, "Variables for the chat template, on the command line as JSON: '{\"enable_thinking\": false}'."
    )
    response_prefix: str = _option("", "Text that opens the answer.")
    chat_template: str | None = _option(
        None,
        "Jinja template in place of the tokenizer's (on the command line a file), or the name of one of its "
        "own.",
    )
    measure_after: str = _option(
        "first",
        "Which token is measured. first: the answer's first; thought: the first after the model's own greedy "
        "thought, and what the template writes after one; or a text: the first after the model has written "
        "it. Prompts of which a row does not come so far are left out, under all modes.",
    )
    thought_tokens: int = _option(
        1024,
        "Tokens that a thought, or what comes before the text of measure_after, may have at most.",
        at_least=1,
        unit="tokens",
    )
    save_logits: bool = _option(False, "Keep all logits of every row.", decides=True)
    positions: int = _option(
        1,
        "Response positions whose final state and logsumexp are kept, along the model's own greedy answer; "
        "of a row whose answer ends sooner, fewer. Costs generating, and as many more tokens in the pass.",
        at_least=1,
        decides=True,
    )
    generate: int = _option(
        0,
        "Tokens of each row's greedy answer to keep as text, without any live token in it. 0: none.",
        at_least=0,
        decides=True,
    )
    limit: int | None = _option(None, "Only the first N prompts.", at_least=1)
    controls: Sequence[str] = _option((), _CONTROLS)
    attacks: str | Path | None = _option(  # noqa: RUF009
        None, "Templates to wrap the prompts in, a file of TOML or JSON lines; or: shipped."
    )
    decoys: int | str | Path = _option(  # noqa: RUF009
        "auto",
        "Sets of meaningless tokens asked like the modes, which say what any tokens would give; or a file of "
        "them, one token a line. auto: 5, or none where the live tokens are too short to draw others like "
        "them. 0: none.",
        at_least=0,
    )
    decoy_prompts: int = _option(
        DECOY_PROMPTS, "Prompts at most that decoys are asked of, spread over all.", at_least=2
    )
    extracts: str | Path | None = _option(  # noqa: RUF009
        None,
        "Requests to say the instructions, beside the prompts, a file of TOML or JSON lines; or: shipped. "
        "Whether an answer holds a token is known where answers are kept (generate).",
    )
    draws: int = _option(1, "Tokens a prompt of each condition that draws some.", at_least=1)
    seed: int = _option(
        0,
        "Of whatever is drawn at random: the tokens of conditions, and prompts where products of all rows "
        "would be too many.",
        at_least=0,
        decides=True,
    )
    top_k: int = _option(
        50, "Likeliest first tokens kept of each row.", at_least=1, decides=True, on_command_line=False
    )
    shard_rows: int = _option(
        256, "Rows a shard holds, the unit of resuming and of sharing.", at_least=1, on_command_line=False
    )
    trust_remote_code: bool = _option(False, "Run code that comes with the checkpoint.")
    quiet: bool = _option(False, "No progress, and no word on what it will cost.")

    def __post_init__(self) -> None:
        types = option_types()
        for option in fields(self):
            value, least = getattr(self, option.name), option.metadata["at_least"]
            kinds = get_args(types[option.name]) or (types[option.name],)
            if get_origin(types[option.name]) in (Sequence, Mapping):
                kinds = (types[option.name],)
            try:
                read = next(found for kind in kinds for found in as_kind(value, kind))
            except StopIteration:
                known = " or ".join(filter(None, (in_words(kind, least) for kind in kinds)))
                raise MarginError(f"{option.name} {what_it_is(value)}: take {known}") from None
            if read == "" and option.default != "":
                raise MarginError(f"{option.name} is empty: leave it out, or say what it is to be")
            if least is not None and type(read) is int and read < least:
                raise MarginError(f"{option.name} {read}: take at least {least}")
            object.__setattr__(self, option.name, read)

    def deciding(self) -> dict[str, Any]:
        """What of these makes a run another run; layers, conditions and where it is measured do, too, as they
        come out.
        """
        return {name: getattr(self, name) for name in DECIDING}


DECIDING = {option.name: option.default for option in fields(CaptureOptions) if option.metadata["decides"]}
"""Defaults of the options that decide the numbers."""


def takes_options(function: F) -> F:
    """`function`, whose last parameter is `**options`, with every option in its signature and docstring."""
    options = [
        inspect.Parameter(
            option.name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=option.type
        )
        for option in fields(CaptureOptions)
    ]
    signature = inspect.signature(function)
    own = list(signature.parameters.values())[:-1]
    function.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    lines = TextWrapper(width=110, initial_indent="    ", subsequent_indent="        ")
    described = "\n".join(
        lines.fill(f"{option.name} : {option.metadata['help']}") for option in fields(CaptureOptions)
    )
    function.__doc__ = (function.__doc__ or "").replace(f"    {HERE}", described)
    return function


@cache
def option_types() -> dict[str, Any]:
    """Type of each option, by name."""
    return get_type_hints(CaptureOptions)
