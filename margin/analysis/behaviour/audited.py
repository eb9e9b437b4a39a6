"""What a hand-labelled sample says of a judge and of its rates, as tables of estimates."""

from __future__ import annotations

from dataclasses import dataclass

from margin.short import Short
from margin.stats.estimate import Estimate


@dataclass(frozen=True)
class CorrectedRate(Short):
    """How many of the answers under one condition bear a label: by the judge, and as a person would say."""

    condition: str
    """The mode asked for, or a control condition."""
    kind: str
    """"mode", or the kind of control."""
    label: str
    judged: Estimate
    """Share of the answers to which the judge gives it; the interval knows nothing of the judge's errors."""
    corrected: Estimate
    """Share of the answers to which a person would give it."""
    answers: int
    """Answers judged."""
    audited: int
    """Answers a person labelled too."""

    @property
    def differs(self) -> bool:
        """Whether the judge's rate is outside of the corrected one's interval."""
        low, high = self.corrected.low, self.corrected.high
        return low is not None and high is not None and not low <= self.judged.estimate <= high


@dataclass(frozen=True)
class Accuracy(Short):
    """How well a judge knows one label, over the answers under all modes."""

    label: str
    modes: tuple[str, ...]
    """Modes whose answers should bear it."""
    said: float
    """Share of these answers to which the judge gives it: the sensitivity of one that guesses as often."""
    sensitivity: Estimate | None
    """Share of what a person calls so that the judge calls so; None where a person called nothing so."""
    specificity: Estimate | None
    """Share of what a person does not call so that the judge does not; None where there is nothing."""
    hits: int
    """Audited answers that a person calls so."""
    audited: int

    @property
    def tells(self) -> bool:
        """Whether the judge is shown to say it more often where it is so than where it is not."""
        found = self.sensitivity
        return found is not None and found.low is not None and found.low > self.said


@dataclass(frozen=True)
class Audit(Short):
    """A judge's rates beside what a person says, and the judge's own errors."""

    judge: str
    rates: tuple[CorrectedRate, ...]
    accuracies: tuple[Accuracy, ...]

    def undistinguished(self) -> list[tuple[str, str]]:
        """Pairs of modes whose answers should differ and that the judge is not shown to tell apart.

        Two modes are told apart if the judge knows the label of either.
        """
        known = {mode: one.tells for one in self.accuracies for mode in one.modes}
        label = {mode: one.label for one in self.accuracies for mode in one.modes}
        modes = list(label)
        return [
            (first, second)
            for place, first in enumerate(modes)
            for second in modes[place + 1 :]
            if label[first] != label[second] and not (known[first] or known[second])
        ]
