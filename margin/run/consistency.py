"""Whether the parts of a run fit together: checksums say that files are as written, not that they agree."""

from __future__ import annotations

import pandas as pd

from margin.errors import MarginError
from margin.run.manifest import AGAIN, Manifest


def require_agreeing(manifest: Manifest, prompts: pd.DataFrame, rows: pd.DataFrame, name: str) -> None:
    """MarginError where the tables of a run are not those its manifest counts."""
    modes = {mode.name for mode in manifest.identity.modes}
    columns = {"row", "prompt_id", "condition", "kind", "mode", "draw"}
    if not {"id", "prompt"} <= set(prompts) or not columns <= set(rows):
        raise _disagreeing(name, "its tables lack columns")
    n_rows, n_prompts = manifest.counts.rows, manifest.counts.prompts
    n_prompts = len(prompts) if n_prompts is None else n_prompts
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
