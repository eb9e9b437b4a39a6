"""The Report: every number of a run, frozen, with a record form for JSON and tables for plots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

import pandas as pd

from margin.analysis.behaviour.findings import Behaviour
from margin.analysis.distances import Distance
from margin.analysis.layers import LayerCurve
from margin.analysis.permutation import PermutationNull
from margin.analysis.positions import PositionCurve
from margin.analysis.prompt_margins import Spread
from margin.analysis.robustness.findings import Robustness
from margin.analysis.sam import Margins, Variant
from margin.analysis.slices import SliceMargins

FORMAT = "margin-report/1"
HEADLINE: Distance = "cosine"
"""The distance of the numbers that stand alone: the null, per mode, one versus one, the weakest prompts."""

WORST = 10
"""Prompts on the list of the weakest."""

Record = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Report:
    """Margins of one run."""

    sam: dict[str, Margins]
    """Margins by distance: cosine, euclidean, sqeuclidean in `sam_space`; hellinger2 of distributions."""
    sam_space: str
    """Space of the cosine and Euclidean margins."""
    null: PermutationNull
    """Leave-prompt-out margin under permuted modes, for the headline distance in `sam_space`."""
    prompts: pd.DataFrame
    """One line a prompt, weakest first: the fields of `PromptMargins`, stability (of a place among the worst;
    NaN below them) and the prompts' own columns; `prompt` only when text was asked for. A prompts' column
    that is called as one of the former stands as "column NAME"."""
    spreads: tuple[Spread, ...]
    """How each per-prompt margin is spread over prompts, and the share of prompts below the even value."""
    provenance: Record
    """Where the numbers come from: checkpoint, digests, modes, prompts, versions, device."""
    spaces: pd.DataFrame
    """Margins of every space under every distance that makes sense in it: how far the answer depends on the
    choice. Columns space, distance, variant and the fields of the estimate."""
    separation: pd.DataFrame
    """Separation measures over all modes and by pair: measure, modes, estimate, interval or p-value, unit."""
    robustness: Robustness
    """Where control conditions land, what leaks, and what attacks leave of the margin; empty without any."""
    slices: tuple[SliceMargins, ...] = ()
    """Margins by slice, one entry a slice column."""
    unsliced: Mapping[str, str] = field(default_factory=dict)
    """Columns of the prompts that are no slices, and why."""
    layers: LayerCurve | None = None
    """Margins by layer; None where fewer than two layers were captured."""
    noise_floor: Record | None = None
    """Spread of the margin over numerically equivalent ways to compute it; None where it was not measured."""
    positions: PositionCurve | None = None
    """Margins along the response; None where one position was captured."""
    behaviour: Behaviour | None = None
    """What a judge found in the run's answers; None where there is neither a judgement nor an answer."""
    probes: Record | None = None
    """What probe.json beside the run holds; None where it was not probed."""

    @property
    def headline(self) -> Margins:
        """Margins under the headline distance."""
        return self.sam[HEADLINE]

    @property
    def weakest_pair(self) -> tuple[str, str]:
        """The two modes that stand closest."""
        pairs = self.headline.one_vs_one
        return min(pairs, key=lambda pair: pairs[pair].estimate)

    def worst_prompts(self, count: int = WORST) -> pd.DataFrame:
        """The `count` prompts with the lowest margin."""
        return self.prompts.head(count)

    def to_frame(self) -> pd.DataFrame:
        """Tidy table of every margin: quantity, name, estimate and its interval, space, distance."""
        return pd.concat([margins.to_frame() for margins in self.sam.values()], ignore_index=True)

    def to_dict(self) -> Record:
        """Plain record in the format margin-report/1; the schema ships beside this module."""
        headline = self.headline
        return {
            "format": FORMAT,
            "sam": {
                distance: {variant: getattr(margins, variant).to_dict() for variant in get_args(Variant)}
                for distance, margins in self.sam.items()
            },
            "sam_space": self.sam_space,
            "null": {
                "mean": self.null.mean,
                "p_value": self.null.p_value,
                "permutations": self.null.permutations,
                "distance": headline.distance,
                "variant": "leave_prompt_out",
            },
            "per_mode": [{"mode": mode, **e.to_dict()} for mode, e in headline.per_mode.items()],
            "one_vs_one": [{"modes": list(pair), **e.to_dict()} for pair, e in headline.one_vs_one.items()],
            "spaces": self.spaces.to_dict("records"),
            "separation": self.separation.to_dict("records"),
            "layers": _layers_record(self.layers),
            "positions": [] if self.positions is None else self.positions.to_frame().to_dict("records"),
            "slices": [line for column in self.slices for line in column.to_frame().to_dict("records")],
            "unsliced": [{"column": column, "why": why} for column, why in self.unsliced.items()],
            "robustness": self.robustness.to_frame().to_dict("records"),
            "prompt_margins": [spread.to_frame().to_dict("records")[0] for spread in self.spreads],
            # To three decimals: more would tell a reader nothing, and help to find a token by trying.
            "worst_prompts": self.worst_prompts().round(3).to_dict("records"),
            "behaviour": self.behaviour.records() if self.behaviour else [],
            "probes": self.probes,
            "provenance": self.provenance,
            "noise_floor": self.noise_floor,
        }


def _layers_record(curve: LayerCurve | None) -> Record:
    if curve is None:
        return {"curve": [], "separation": [], "parting": None}
    return {
        "curve": curve.to_frame().to_dict("records"),
        "separation": curve.separation_frame().to_dict("records"),
        "parting": asdict(curve.parting),
    }
