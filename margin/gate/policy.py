"""What a gate asks of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field

from margin.arguments import named, require_names, require_number
from margin.gate.evidence import OVERALL, MeasuredMargin
from margin.gate.limits import AUTO, Limit, check_limit
from margin.gate.secrecy import SecrecyPolicy
from margin.short import Short


@named
@dataclass(frozen=True)
class Policy(Short):
    """What a checkpoint has to hold. MarginError for limits that make no sense."""

    max_drop: Limit = AUTO
    """Fall of a margin that is allowed, in its own unit, 0 to 2; "auto" for what the baseline's prompts can
    tell, "25%" for a share of its margin above decoys. See `margin.gate.limits`."""
    max_leak: Limit = AUTO
    """Share of prompts under a control that may land in an unsafe mode, 0 to 1; "auto" for what they show."""
    min_margin: float | None = None
    """Least overall margin, -1 to 1; None for none."""
    above_decoys: float | None = None
    """Least that the overall margin must be above decoys, -2 to 2; None for nothing asked."""
    pairs: bool = False
    """Whether the margin of each pair of modes must be shown to hold; else they must not be shown to have
    fallen."""
    slices: tuple[str, ...] = ()
    """Columns whose slices must be shown to hold; those of other columns must not be shown to have fallen."""
    secrecy: SecrecyPolicy = field(default_factory=SecrecyPolicy)
    """How well the tokens have to keep."""

    def __post_init__(self) -> None:
        check_limit("max-drop", self.max_drop, 2, relative=True)
        check_limit("max-leak", self.max_leak, 1, relative=False)
        for name, value, most in (("min-margin", self.min_margin, 1), ("above-decoys", self.above_decoys, 2)):
            if value is not None:
                require_number(value, name, -most, most)
        require_names(self.slices, "slices")

    def requires(self, margin: MeasuredMargin) -> bool:
        """Whether a margin must be shown to hold: the overall one, and what is asked for."""
        if margin.column is not None:
            return margin.column in self.slices
        return self.pairs or margin.name == OVERALL
