"""The parts of a manifest. A key once written keeps its name and its meaning."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from margin.run.stored import Record, Stored

Count = Annotated[int, Field(ge=0)]


class ModeRecord(Stored):
    """A mode, without its token."""

    name: str
    safe: bool
    """Whether an unknown token may land in it."""
    fingerprint: str = ""
    """First 16 bits of the token's SHA-256."""
    reworded: dict[str, list[str]] = {}
    """What a public token might be taken for, by what that is; left out where nothing is asked."""


class ControlsRecord(Stored):
    """What, beside the seed, decides the rows of the control conditions."""

    kinds: list[str]
    draws: int
    attacks: dict[str, str]
    """SHA-256 of each template, by name."""
    extracts: dict[str, str] = {}
    """SHA-256 of each request to say the instructions, by name; left out where there are none."""


class Identity(Stored):
    """What decides the numbers of a run. Keys that an earlier version did not record are left out."""

    model: str
    revision: str | None = None
    adapter: str | None = None
    weights: str = ""
    """SHA-256 of all weights."""
    dtype: str = ""
    attention: str | None = None
    configuration: Any = None
    adapters: Any = None
    modules: Any = None
    buffers: Any = None
    code: Any = None
    tokenizer: str = ""
    chat_template: str = ""
    chat_kwargs: Record = {}
    response_prefix: str = ""
    head: str = ""
    """Rendered text before the prompt, "{token}" in the token's place."""
    tail: str = ""
    """Rendered text after the prompt."""
    placement: str = ""
    system: str = ""
    secret: bool = True
    """Whether the tokens are secret; left out where they are."""
    modes: list[ModeRecord]
    prompts: str = ""
    """SHA-256 of the table of prompts."""
    conditions: list[str]
    """Names of the modes, then of the control conditions."""
    ends: list[int] | None = None
    """Ids of the tokens that end an answer; empty where none is generated."""
    layers: list[Count]
    top_k: int | None = None
    save_logits: bool
    controls: ControlsRecord | None = None
    measure_after: str = "first"
    """What the measured token comes after; left out where it is the first of the answer."""
    thought_tokens: Count = 0
    """Tokens that may come before; left out likewise."""
    seed: Count
    positions: Annotated[int, Field(ge=1)]
    generate: Count
    imported: str | None = None
    """The engine that made the states, where it was another; left out of a run that was collected."""


class Environment(Stored):
    """What a run was made on: recorded, and only the libraries compared."""

    versions: dict[str, str] = {}
    """Of libraries, by name."""
    python: str = ""
    platform: str = ""
    device: str = ""
    tokenizer_from: str = "model"
    """"model", or "adapter" where tokenizer and template came with it."""


class Counts(Stored):
    """How many there are; width, vocabulary and shards from the first shard on."""

    prompts: Count | None = None
    modes: Count | None = None
    rows: Count
    width: Count = 0
    """Of the final state."""
    vocabulary: Count = 0
    shards: Count = 0


class Batching(Stored):
    """How rows may be batched without changing their numbers, and how they were."""

    reuse_prefix: bool = False
    """Whether the tokens a condition's rows share are run once."""
    prefix_reason: str = "-"
    """Why, in words."""
    pad: bool = False
    """Whether rows of different lengths share a batch."""
    pad_reason: str = "-"
    """Why, in words."""
    together: bool = True
    """Whether rows share a batch at all."""
    together_reason: str = "-"
    """Why, in words."""
    narrow: bool = False
    """Whether the last block runs at the wanted positions only."""
    narrow_reason: str = "-"
    """Why, in words."""
    batch_tokens: int | None = None
    """Tokens a batch could hold in the end."""
    asked: int | Literal["auto"] | None = None
    """What was asked for."""
    out_of_memory: Count = 0
    """How often memory ran out, and the tokens were halved."""


class HeadRecord(Stored):
    """How the head makes logits of a state."""

    scale: float = 1.0
    softcap: float | None = None


class Throughput(Stored):
    """Of the capture loop."""

    rows: Count
    ranks: int = 1
    seconds: float | None = None
    rows_per_s: float
    tokens: Count | None = None
    padding_share: float


class NoiseFloor(Stored):
    """Of the rows that were run again."""

    rows: Count
    prompts: Count | None = None
    dtype: str = ""
    """Of those run alone."""
    state_error: float
    """Largest relative Euclidean difference of a final state from the run's."""


class Imported(Stored):
    """Of states that another engine made, and of the rows that were run again to compare."""

    engine: str
    """What wrote them: the name of the reader."""
    source: str
    """Name of the file or folder."""
    rows_compared: Count
    """Rows that were run again here, all of which agree."""
    largest_difference: float
    """Largest relative Euclidean difference of a final state among them."""
    tolerance: float
    """Up to which they were to agree."""
    precision: str
    """What the numbers were computed or rounded in: the lowest that holds them."""
    final_norm: Literal["there", "here"]
    """Where the final norm was applied: there, or here to the output of the last block."""
    unknown: Count = 0
    """Lines that were no rows of the run."""


class Thoughts(Stored):
    """Of what the model wrote by itself before the measured tokens."""

    text: str
    """What it was to write last."""
    then: str | None
    """What was written after that; None where it was the model's own white space."""
    limit: Count
    """Tokens it had."""
    rows: Count
    """Rows asked."""
    ended: Count
    """Those that came so far."""
    cut: Count
    """Those that had not when their tokens were used up; all others ended their answer before."""
    prompts: Count
    """Prompts asked."""
    left_out: Count
    """Prompts left out under all modes, since one of their rows did not come so far."""
    forced: Count = 0
    """Rows that did not go on by themselves as the template does, and were given its text."""
    tokens: float
    """Mean number of tokens of those that did."""


class OneToken(Stored):
    """The first token that nearly all rows of the modes predict."""

    token: str
    """Its text."""
    share: float
    rows: Count


class Greedy(Stored):
    """Of the answers' tokens that the loop was given."""

    tokens: Count
    likeliest: float | None
    """Share of them that are the likeliest there, too; None of none."""
