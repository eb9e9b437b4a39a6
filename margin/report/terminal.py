"""The summary a person reads in ten seconds."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from margin.analysis.behaviour.findings import MODES, Behaviour
from margin.analysis.comparison import Comparison
from margin.analysis.robustness.findings import Robustness
from margin.report.report import Report
from margin.report.trajectory import Trajectory
from margin.stats.estimate import Estimate
from margin.study.notation import along, interval, number, parting
from margin.text import shown

LONGEST = 60
"""Characters of a column's name or value that are printed."""
VARIANTS = {
    "leave_prompt_out": "margin (leave-prompt-out)",
    "prompt_centred": "prompt-centred",
    "plain": "plain, as scikit-learn",
}


def print_summary(report: Report, console: Console) -> None:
    """Print the margin with its interval, its null, the weakest pair and the weakest prompts."""
    headline = report.headline
    provenance = report.provenance
    margin = headline.leave_prompt_out
    console.print(
        Text.assemble(
            ("Safety Alignment Margin", "bold"),
            f"  {shown(provenance['model'])}\n{margin.n_prompts} prompts x {len(headline.per_mode)} modes, "
            f"{headline.distance} distance in {report.sam_space}, "
            f"{margin.level:.0%} intervals over prompts\n",
        ),
        highlight=False,
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column, justify in (("", "left"), ("SAM", "right"), ("interval", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for variant, label in VARIANTS.items():
        estimate: Estimate = getattr(headline, variant)
        style = "bold" if variant == "leave_prompt_out" else ""
        table.add_row(label, number(estimate.estimate), interval(estimate.low, estimate.high), style=style)
    table.add_row("null (modes permuted)", number(report.null.mean), f"p = {report.null.p_value:.3g}")
    for mode, estimate in headline.per_mode.items():
        bounds = interval(estimate.low, estimate.high)
        table.add_row(Text(shown(f"mode {mode}")), number(estimate.estimate), bounds)
    for pair, estimate in headline.one_vs_one.items():
        weakest = "  <- weakest pair" if pair == report.weakest_pair else ""
        table.add_row(
            Text(shown(f"{pair[0]} / {pair[1]}")),
            number(estimate.estimate),
            interval(estimate.low, estimate.high) + weakest,
        )
    console.print(table, highlight=False)
    for slices in report.slices:
        if slices.worst is not None:
            lowest = slices.margins[slices.names.index(slices.worst)]
            found = f"{_brief(slices.worst)} ({number(lowest.estimate)}, above {number(lowest.low)})"
            console.print(f"weakest {_brief(slices.column)}: {found}", highlight=False, markup=False)
    if report.unsliced:
        columns = ", ".join(f"{_brief(column)} ({why})" for column, why in report.unsliced.items())
        console.print(f"not sliced: {columns}", style="dim", highlight=False, markup=False)
    if report.layers is not None:
        console.print(parting(report.layers.parting), highlight=False, markup=False)
    if report.positions is not None:
        console.print(along(report.positions), highlight=False, markup=False)
    _print_leaks(report.robustness, console)
    if report.behaviour is not None:
        _print_agreement(report.behaviour, console)
    worst = ", ".join(
        f"{shown(line.prompt_id)} ({line.margin:+.2f})" for line in report.worst_prompts().itertuples()
    )
    console.print(f"\nweakest prompts: {worst}", highlight=False, markup=False)


def _brief(name: str) -> str:
    """A name from outside, cut where it would fill the screen."""
    text = shown(name)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _print_leaks(robustness: Robustness, console: Console) -> None:
    """Print each condition that leaks, and in a line how many do not."""
    leaks = robustness.select("leak")
    for leak in leaks:
        if leak.count:
            about = f"{leak.count} of {leak.value.n_prompts} prompts leak, at most {leak.value.high:.3f}"
            note = " (indicative)" if leak.indicative else ""
            line = f"{shown(leak.condition)}: {about}{note}"
            console.print(line, style="bold", highlight=False, markup=False)
    tight = [leak for leak in leaks if not leak.count]
    if tight:
        bound = max(leak.value.high or 0 for leak in tight)
        among = f"{len(tight)} other conditions" if len(tight) < len(leaks) else f"{len(tight)} conditions"
        console.print(f"no leak in {among}, at most {bound:.3f} each", highlight=False, markup=False)


def _print_agreement(behaviour: Behaviour, console: Console) -> None:
    """Print on how many rows of the modes the geometry and the judge agree, where they are compared."""
    for found in behaviour.select("agreement"):
        if found.condition == MODES:
            share = number(found.value.estimate, signed=False)
            bounds = interval(found.value.low, found.value.high, signed=False)
            judge = shown(behaviour.judge)
            console.print(
                f"geometry and judge ({judge}) agree on {share} {bounds} of the modes' rows",
                highlight=False,
                markup=False,
            )


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the leave-prompt-out margin of each run, its paired difference from the first, and how good the
    comparison is: the smallest drop found, the power to find a given one, how many prompts would do."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    quality = Table(box=None, pad_edge=False, header_style="dim")
    for each in (table, quality):
        each.add_column("run")
    for column in ("SAM (leave-prompt-out)", "plain", f"difference from {shown(comparison.reference)}"):
        table.add_column(Text(column), justify="right")
    drop = f"{comparison.drop:g}"
    for column in ("p (Holm)", "finds a drop of", f"power at {drop}", f"prompts for {drop}", "to settle it"):
        quality.add_column(column, justify="right")
    differences = {d.run: d for d in comparison.differences if d.margin == "leave_prompt_out"}
    for name, margins in comparison.margins.items():
        margin = margins.leave_prompt_out
        against = ""
        if name in differences:
            d = differences[name]
            against = f"{d.difference.estimate:+.3f} {interval(d.difference.low, d.difference.high)}"
            to_settle = "settled" if d.is_settled else prompts(d.prompts_to_settle)
            quality.add_row(
                *(Text(shown(name)), f"{d.p_holm:.2g}", f"{d.detectable:.2g}", f"{d.power:.2f}"),
                *(prompts(d.prompts_for_drop), to_settle),
            )
        table.add_row(
            Text(shown(name)),
            f"{margin.estimate:+.3f} {interval(margin.low, margin.high)}",
            number(margins.plain.estimate),
            against,
        )
    console.print(table, highlight=False)
    console.print(
        f"{len(comparison.prompt_ids)} shared prompts, paired by prompt\n", style="dim", highlight=False
    )
    console.print(quality, highlight=False)
    console.print("one-sided 5%; prompts for a power of 0.8", style="dim", highlight=False)


def prompts(needed: int | None) -> str:
    """A number of prompts, or that it is out of reach."""
    return "> 10 million" if needed is None else f"{needed:,}"


def print_trajectory(found: Trajectory, console: Console) -> None:
    """Print the margin of each checkpoint, its paired difference, and the condition that leaks most."""
    leaks = any(found.leaks.values())
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("checkpoint")
    columns = ["SAM (leave-prompt-out)", f"against the {found.against}"]
    for column in [*columns, "most leaks"] if leaks else columns:
        table.add_column(column, justify="right", no_wrap=True)
    for line in found.to_frame().itertuples():
        within = interval(line.difference_low, line.difference_high)
        change = f"{number(line.difference)} {within}" if isinstance(line.reference, str) else ""
        cells = [f"{number(line.estimate)} {interval(line.low, line.high)}", change]
        if leaks:
            worst = max(
                (leak.value for leak in found.leaks[line.checkpoint]), key=lambda leak: leak.high or 0
            )
            cells.append(f"{number(worst.estimate, signed=False)} ≤ {number(worst.high, signed=False)}")
        table.add_row(Text(shown(line.checkpoint)), *cells)
    console.print(table, highlight=False)
    console.print(
        f"{len(found.comparison.prompt_ids)} shared prompts, paired by prompt; intervals of differences hold "
        "for all checkpoints at once",
        style="dim",
        highlight=False,
    )
