"""Is it fine? The answer first, in a few sentences; the other sections say why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from margin.inputs.conditions import CONDITIONS, by_name, condition_of
from margin.study.record import Record, Share, Text
from margin.study.section import Section
from margin.study.sections.behaviour import Behaviour
from margin.study.sections.decoys import Decoys
from margin.study.sections.dependence import DependenceSection
from margin.study.sections.outcomes import Outcomes
from margin.study.sections.secrecy import Secrecy
from margin.study.sections.trace import TraceSection
from margin.study.study import Study
from margin.study.verdict import Line, Status, Thresholds, apart, missing, under_attack, unknown


class LineRecord(Record):
    """One question, and the answer in a sentence."""

    question: str
    status: Status
    sentence: str
    section: Text
    """Key of the table that says more."""


class VerdictRecord(Record):
    """The verdict, and what it asks for."""

    apart: float
    """What the margin must be shown to be above that of meaningless tokens."""
    tolerated: Share
    """Share of prompts that may come out otherwise than they should under any one condition."""
    lines: list[LineRecord]


class VerdictKeys(Record):
    verdict: VerdictRecord | None = None
    """What was found in a few sentences."""


@dataclass(frozen=True, eq=False)
class Verdict(Section):
    """Three to five sentences: apart, unknown tokens, attacks, the last release, what was not measured."""

    keys = VerdictKeys
    thresholds: Thresholds
    lines: tuple[Line, ...]

    @classmethod
    def of(cls, study: Study) -> Verdict:
        """What the other sections found, judged by the settings' thresholds."""
        return cls(study.settings.thresholds, tuple(_lines(study)))

    @property
    def asked(self) -> str:
        """The thresholds in a sentence, with the options that set them."""
        least, most = self.thresholds.apart, self.thresholds.tolerated
        return (
            f"Asked for: a margin shown to be over {least:g} above that of meaningless tokens (--apart); "
            f"under no condition more than {most:.0%} of prompts that come out otherwise than they should "
            "(--tolerated)."
        )

    def record(self) -> VerdictKeys:
        """Sentences and thresholds."""
        lines = [
            LineRecord(question=it.question, status=it.status, sentence=it.sentence, section=it.section)
            for it in self.lines
        ]
        least, most = self.thresholds.apart, self.thresholds.tolerated
        return VerdictKeys(verdict=VerdictRecord(apart=least, tolerated=most, lines=lines))


def _lines(study: Study) -> Iterator[Line]:
    decoys, outcomes = study.section(Decoys), study.section(Outcomes)
    assert outcomes is not None
    limit, level = study.settings.thresholds.tolerated, study.settings.level
    if decoys is not None:
        dependent = study.section(DependenceSection)
        caveat = None if dependent is None else dependent.caveat
        yield apart(decoys.headline, study.settings.thresholds.apart, caveat)
    controls = [one for one in outcomes.found.found if one.kind != "mode"]
    strange = [one for one in controls if not condition_of(one.kind).live]
    if strange:
        tried = {one.kind for one in strange}
        untried = [_kind(name) for name in by_name() if not CONDITIONS[name].live and name not in tried]
        yield unknown(strange, untried, limit, level)
    attacked = [one for one in controls if condition_of(one.kind).live]
    if attacked:
        yield under_attack(attacked, limit, level)
    if study.against is not None:
        yield study.against
    if left := list(_left_out(study, {one.kind for one in controls})):
        yield missing(left)


def _kind(name: str) -> str:
    """A kind of condition in words, of all its members."""
    return CONDITIONS[name].words.format(name="a mode")


def _left_out(study: Study, kinds: set[str]) -> Iterator[tuple[str, str]]:
    """What was not measured, and the option that measures it."""
    if study.section(Decoys) is None:
        yield "whether any tokens would stand as far apart", "--decoys 5"
    system = study.run.manifest.identity.placement != "user-prefix"
    names = [name for name in by_name() if name not in kinds and (system or name != "user-turn")]
    if names:
        words = ", ".join(_kind(name) for name in names)
        yield words, f"--controls {','.join(names)}"
    if "attack" not in kinds:
        yield "attacks", "--attacks shipped"
    if study.section(Behaviour) is None:
        yield "what is answered", "--generate 32"
    secret = study.run.manifest.identity.secret
    if secret and ((found := study.section(Secrecy)) is None or found.kept is None):
        yield "strings sought to open a mode", "margin secrecy"
    if study.section(TraceSection) is None:
        yield "what the model acts on", "margin trace"
    if study.against is None:
        yield "the last release", "margin report --baseline"
