"""From arrays of one's own to a report of them. No run, no torch."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from margin.arguments import named
from margin.report.points import PointReport
from margin.study.arrays import ArrayStudy, Slices
from margin.study.settings import Settings


@named
def analyse_arrays(
    X: ArrayLike,
    modes: ArrayLike | Sequence[object],
    prompts: ArrayLike | Sequence[object],
    slices: Slices | None = None,
    clusters: ArrayLike | Sequence[object] | None = None,
    *,
    level: float = 0.95,
    permutations: int = 999,
    seed: int = 0,
    optional: bool = False,
) -> PointReport:
    """The margins of points of one's own, and what belongs to them: all of a report that needs no run.

    The numbers are those of `margin.analyse` of a run with the same points.

    Parameters
    ----------
    X : (N, d) states or logits: an array, a table, a tensor (bfloat16 too), or lists.
    modes, prompts : (N,) mode and prompt of each point; a prompt stands at most once under a mode.
    slices : (N,) the slice of each point's prompt, such as its language; or several columns of such, as a
        table or a mapping from their names.
    clusters : (N,) what the prompt of each point hangs together with, such as its template; every interval,
        bound and p-value is then over clusters. None where prompts are independent.
    level : nominal coverage of every interval.
    permutations : relabellings in the null of the headline margin.
    seed : of everything drawn; the same points and seed give the same report.
    optional : add the separation measures that are costly or of narrower use.

    The headline margins are computed at once, everything else when it is first asked for.

    Raises
    ------
    MarginError : one mode, fewer than two prompts, no prompt under two modes, lengths that differ, NaN or
        infinite points, a prompt in two slices or clusters, modes that a report could not name or tell apart
        (an empty name, "all", two that look alike), an argument of another kind.

    Example
    -------
    >>> import margin
    >>> import numpy as np
    >>> modes, prompts = ["neg", "pos"] * 40, np.repeat(range(40), 2)  # each prompt under both modes
    >>> X = np.random.default_rng(0).normal(size=(80, 8)) + np.tile([[0.0], [1.0]], (40, 8))
    >>> report = margin.analyse_arrays(X, modes, prompts, slices={"language": ["en"] * 60 + ["zh"] * 20})
    >>> print(report.sam["cosine"].leave_prompt_out)  # as `margin.sam` has it
    0.211 [0.143, 0.280]
    >>> report.slices[0].to_frame()[["slice", "n_prompts"]].values.tolist()
    [['en', 30], ['zh', 10]]
    """
    settings = Settings(level, seed, permutations, optional)
    report = PointReport(ArrayStudy(X, modes, prompts, slices, clusters, settings))
    _ = report.headline  # what points are refused for shows here, and not when a number is read
    return report
