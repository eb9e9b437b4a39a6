"""Points of one's own opened for analysis: arrays in place of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import pandas as pd
from numpy.typing import ArrayLike

from margin.analysis.margins import check_crossed, check_design
from margin.analysis.space import Coordinates
from margin.analysis.vectors import require_resolved
from margin.arguments import matrix
from margin.errors import MarginError
from margin.inputs.labels import check_alike, check_label
from margin.stats.design import Design, make_design
from margin.study.settings import Settings
from margin.study.study import PointStudy
from margin.text import is_blank, shown, spelt

Slices: TypeAlias = "Mapping[Any, ArrayLike] | pd.DataFrame | ArrayLike | Sequence[object]"
"""Columns by name, or a single one: (N,) the slice of each point's prompt."""
UNNAMED = "slice"
"""What a column of slices is called that has no name."""


class ArrayStudy(PointStudy):
    """Arrays opened for analysis; arguments and errors as `margin.analyse_arrays` has them."""

    def __init__(
        self,
        X: ArrayLike,
        modes: ArrayLike | Sequence[object],
        prompts: ArrayLike | Sequence[object],
        slices: Slices | None = None,
        clusters: ArrayLike | Sequence[object] | None = None,
        settings: Settings | None = None,
    ) -> None:
        super().__init__(settings)
        points = matrix(X, "X")
        require_resolved(points)
        self._space = Coordinates(points)
        self._design = make_design(modes, prompts, clusters)
        check_design(self._space, self._design)
        check_crossed(self._design)
        _check_names(self._design.modes)
        self._labels = _columns(slices, self._design)

    def __repr__(self) -> str:
        return f"ArrayStudy({self._design.n_points} points, {self._design.n_prompts} prompts)"

    @property
    def space(self) -> Coordinates:
        """The points."""
        return self._space

    @property
    def design(self) -> Design:
        """Prompt and mode of each."""
        return self._design

    @property
    def labels(self) -> pd.DataFrame:
        """The prompts' slices, a column each, indexed by prompt id."""
        return self._labels


def _check_names(modes: Sequence[str]) -> None:
    """MarginError where a report could not show the names of the modes, or not tell them apart."""
    for name in modes:
        if is_blank(name) or not name.isprintable():
            raise MarginError(
                f"mode {spelt(name)!r} has no name that can be read: take one of characters that can be seen"
            )
        check_label(name)
    check_alike(modes)


def _columns(slices: Slices | None, design: Design) -> pd.DataFrame:
    """The slice of each prompt, a column each."""
    index = pd.Index(design.prompt_ids)
    if slices is None:
        return pd.DataFrame(index=index)
    if not isinstance(slices, Mapping | pd.DataFrame):
        slices = {getattr(slices, "name", None) or UNNAMED: slices}
    names = [str(name) for name in slices]
    if len(names) > len(set(names)):
        twice = next(name for name in names if names.count(name) > 1)
        raise MarginError(f"slices hold two columns {shown(twice)!r}: name each once")
    found = [design.of_prompts(slices[name], f"slices of {shown(name)}") for name in slices]
    return pd.DataFrame(dict(zip(names, found, strict=True)), index=index)
