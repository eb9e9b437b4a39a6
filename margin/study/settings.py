"""How a study is made: levels, seeds, and what is asked for beside the usual."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from margin.arguments import require_count, require_level
from margin.stats.seeds import generator
from margin.study.verdict import Thresholds


@dataclass(frozen=True)
class Settings:
    """What a study's numbers depend on beside the run."""

    level: float = 0.95
    """Nominal coverage of every interval, 0 to 1."""
    seed: int = 0
    """Of everything drawn (permutations, multipliers, folds); the same run and seed give the same numbers."""
    permutations: int = 999
    """Relabellings in the null of the headline margin, at least 1."""
    optional: bool = False
    """Whether separation measures that are costly or of narrower use are added."""
    text: bool = False
    """Whether prompts and answers are shown."""
    cluster: str | None = None
    """Column of the prompts that names what hangs together (templates, paraphrases, translations); intervals
    are then over clusters. None where prompts are independent."""
    thresholds: Thresholds = field(default_factory=Thresholds)
    """What the verdict asks for."""

    def __post_init__(self) -> None:
        require_level(self.level)
        require_count(self.permutations, "permutations", 1)
        require_count(self.seed, "seed")

    def rng(self, *name: str) -> np.random.Generator:
        """The generator of one number, by its name.

        Each name has its own, so that no number depends on the order or the presence of another.

        Example
        -------
        >>> Settings().rng("null").random() == Settings().rng("null").random()
        True
        """
        return generator(self.seed, *name)
