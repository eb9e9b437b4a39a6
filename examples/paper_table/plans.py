"""What is trained for the comparison: of each base, which recipes, how many seeds, how long."""

from __future__ import annotations

from dataclasses import dataclass

DPO = "dpo"
"""Not a recipe of rows but of pairs: `sft`, then direct preference optimisation."""
ABLATIONS = ("without-near-misses", "without-random", "without-user-turn")
RECIPES = ("cotrained", "baseline", "naive", "policies", "sft")


@dataclass(frozen=True)
class Plan:
    """How a base is trained."""

    seeds: int
    steps: int
    rows: int
    """Rows of a step."""
    rate: float
    dpo_steps: int
    dpo_rate: float
    questions: int
    """Training questions drawn, of both languages."""
    beginning: float
    """Share of the steps that are live rows alone, of recipes that have any."""
    english: bool
    """Whether only the English questions are asked."""
    recipes: tuple[str, ...] = RECIPES


PLANS = {
    "smollm2": Plan(3, 600, 16, 1e-3, 120, 1e-4, 3000, beginning=0.4, english=True),
    "tiny": Plan(
        5, 1500, 32, 2e-3, 200, 1e-4, 2000, beginning=0.0, english=False, recipes=(*RECIPES, *ABLATIONS)
    ),
}


@dataclass(frozen=True)
class Training:
    """One checkpoint to be."""

    base: str
    recipe: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder, beneath that of its base."""
        return f"{self.recipe}-{self.seed}"
