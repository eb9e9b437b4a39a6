"""Whether the parts of a run fit together: checksums say that files are as written, not that they agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd

from margin.errors import MarginError

if TYPE_CHECKING:
    from margin.run.manifest import Manifest

AGAIN = "collect into another folder"

Rule = Callable[[Any], bool]


def require_sound(manifest: Manifest, name: str) -> None:
    """MarginError where a manifest does not say what its readers go by; `name` says which it is."""
    rules = {f"identity.{key}": rule for key, rule in IDENTITY.items()} | {
        "counts.rows": _is_count,
        "tail": _is_text,
    }
    rules |= dict.fromkeys(("environment", "batching", "throughput", "files"), _is_record)
    if manifest.complete:
        rules |= dict.fromkeys(("counts.shards", "counts.vocabulary"), _is_count)
        rules |= {"head.scale": _is_number, "head.softcap": lambda it: it is None or _is_number(it)}
    if manifest.throughput:
        rules |= dict.fromkeys(
            (f"throughput.{key}" for key in ("rows", "rows_per_s", "padding_share")), _is_number
        )
    if manifest.noise_floor is not None:
        rules |= {"noise_floor.rows": _is_count, "noise_floor.state_error": _is_number}
    wrong = [place for place, is_right in rules.items() if not is_right(_at(manifest, place))]
    if wrong:
        raise MarginError(f"{name} does not say what a manifest says, at {', '.join(wrong)}: {AGAIN}")


def require_agreeing(manifest: Manifest, prompts: pd.DataFrame, rows: pd.DataFrame, name: str) -> None:
    """MarginError where the tables of a run are not those its manifest counts."""
    modes = {mode["name"] for mode in manifest.identity["modes"]}
    columns = {"row", "prompt_id", "condition", "kind", "mode", "draw"}
    if not {"id", "prompt"} <= set(prompts) or not columns <= set(rows):
        raise _disagreeing(name, "its tables lack columns")
    n_rows, n_prompts = manifest.counts["rows"], manifest.counts.get("prompts", len(prompts))
    for what, there, told in (("rows", len(rows), n_rows), ("prompts", len(prompts), n_prompts)):
        if there != told:
            raise _disagreeing(name, f"its table holds {there:,} {what}, its manifest says {told:,}")
    if rows["row"].tolist() != list(range(n_rows)):
        raise _disagreeing(name, "its rows are not numbered in their order")
    if prompts["id"].duplicated().any() or not rows["prompt_id"].isin(prompts["id"]).all():
        raise _disagreeing(name, "its rows are of other prompts than it holds")
    if not rows["condition"][rows["kind"] == "mode"].isin(modes).all():
        raise _disagreeing(name, "its rows are of other modes than its manifest names")


def _disagreeing(name: str, how: str) -> MarginError:
    return MarginError(f"{name} does not fit together, {how}: {AGAIN}")


def _at(manifest: Manifest, place: str) -> Any:
    """What a manifest says at a place such as "counts.rows"; an ellipsis where it says nothing there."""
    part, _, key = place.partition(".")
    record = getattr(manifest, part)
    if not key:
        return record
    return record.get(key, ...) if isinstance(record, dict) else ...


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_record(value: object) -> bool:
    return isinstance(value, dict)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_modes(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(mode, dict) and isinstance(mode.get("name"), str) and isinstance(mode.get("safe"), bool)
        for mode in value
    )


IDENTITY: dict[str, Rule] = {
    "model": _is_text,
    "modes": _are_modes,
    "layers": lambda it: isinstance(it, list) and all(map(_is_count, it)),
    "conditions": lambda it: isinstance(it, list) and all(map(_is_text, it)),
    "save_logits": lambda it: isinstance(it, bool),
    "seed": _is_count,
    "positions": lambda it: _is_count(it) and it > 0,
    "generate": _is_count,
}
"""What readers of a run go by of its identity."""
