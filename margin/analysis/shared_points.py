"""The points that several runs share: a prompt under a mode, in one order."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.errors import IncomparableError
from margin.stats.design import Design
from margin.text import counted


def shared_points(designs: Mapping[str, Design]) -> dict[str, NDArray[np.intp]]:
    """Where each run holds the points (a prompt under a mode) that all hold, in the order of the first.

    Raises
    ------
    IncomparableError : other modes, fewer than two shared prompts, or a mode none of whose points is shared.
    """
    first, *others = designs
    for name in others:
        if set(designs[name].modes) != set(designs[first].modes):
            raise IncomparableError(
                f"{name} has modes {', '.join(designs[name].modes)}, {first} has "
                f"{', '.join(designs[first].modes)}: compare runs of one mode set"
            )
    points = {name: _points(design) for name, design in designs.items()}
    shared = points[first]
    for name in others:
        shared = shared[shared.isin(points[name])]
    prompts, modes = (shared.unique(level) for level in ("prompt", "mode"))
    if len(prompts) < 2:
        raise IncomparableError(
            f"{' and '.join(designs)} share {counted(len(prompts), 'prompt')}: "
            "a paired comparison needs at least two"
        )
    if len(modes) < designs[first].n_modes:
        missing = ", ".join(sorted(set(designs[first].modes) - set(modes)))
        raise IncomparableError(
            f"{' and '.join(designs)} share no prompt under {missing}: collect both under all modes"
        )
    return {name: index.get_indexer(shared) for name, index in points.items()}


def _points(design: Design) -> pd.MultiIndex:
    codes = [design.prompt, design.mode]
    return pd.MultiIndex(levels=[design.prompt_ids, design.modes], codes=codes, names=["prompt", "mode"])
