"""From a run on disk to its Report. No torch, no weights: a laptop is enough."""

from __future__ import annotations

from pathlib import Path

from margin.arguments import named
from margin.errors import MarginError
from margin.report.report import Report
from margin.run.run import Run, opened
from margin.study.left_out import warn_of_left_out
from margin.study.settings import Settings
from margin.study.study import Study
from margin.study.verdict import Line, Thresholds


@named
def analyse(
    run: Run | str | Path,
    *,
    level: float = 0.95,
    permutations: int = 999,
    seed: int = 0,
    cluster: str | None = None,
    text: bool = False,
    optional: bool = False,
    thresholds: Thresholds | None = None,
    against: Line | None = None,
) -> Report:
    """The margins of a run, and what belongs to them.

    Parameters
    ----------
    run : an opened run, or the path of its folder.
    level : nominal coverage of every interval.
    permutations : relabellings in the null of the headline margin.
    seed : of everything drawn (permutations, multipliers, folds); the same run and seed give the same report.
    cluster : column of the prompts that names what hangs together (templates, paraphrases, translations of
        one question); prompts of a cluster are left out of each other's comparisons, and every interval,
        bound and p-value is over clusters. None where prompts are independent.
    text : put the prompts' text into the report.
    optional : add the separation measures that are costly or of narrower use.
    thresholds : what the verdict asks for; those of `Thresholds()` unless given.
    against : what the verdict says of the last release, `margin.gate.against.against_release`.

    The headline margins are computed at once, everything else when it is first asked for. A probe.json,
    trace.json or secrecy.json beside the run that is damaged or of another run is left out with a
    `MarginWarning`.

    Raises
    ------
    MarginError : the run is not whole, damaged, or holds fewer than two prompts.

    Example
    -------
    >>> import margin
    >>> report = margin.analyse("demo-run", permutations=99)
    >>> margins = report.sam["cosine"]
    >>> print(margins.leave_prompt_out)  # of 40 prompts
    0.365 [0.340, 0.390]
    >>> min(margins.one_vs_one, key=lambda pair: margins.one_vs_one[pair].estimate)  # the weakest pair
    ('neg', 'rej')
    """
    for name, value, kind in (("thresholds", thresholds, Thresholds), ("against", against, Line)):
        if value is not None and not isinstance(value, kind):
            raise MarginError(f"{name} must be of the class {kind.__name__}, got {type(value).__name__}")
    limits = Thresholds() if thresholds is None else thresholds
    settings = Settings(level, seed, permutations, optional, text, cluster, limits)
    report = Report(Study(opened(run), settings, against))
    _ = report.headline  # what a run is refused for shows here, and not when a number is read
    warn_of_left_out(report.run, stacklevel=3)  # past `named`
    return report
