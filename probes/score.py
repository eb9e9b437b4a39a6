"""A number with its interval, as every function here returns it."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Score:
    """A number with its interval; `low`, `high` and `se` are None where no valid one is known."""

    estimate: float
    low: float | None = None
    high: float | None = None
    se: float | None = None
    """Standard error, the prompt being the unit of sampling."""
    level: float | None = None
    """Nominal coverage of (low, high), 0 to 1."""
    method: str = "none"
    n_prompts: int = 0
    """Prompts the number rests on."""

    def to_dict(self) -> dict[str, float | int | str | None]:
        """Plain record of the fields."""
        return asdict(self)
