"""The summary a person reads in ten seconds."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from margin.analysis.comparison import Comparison
from margin.report.grid import Grid
from margin.report.report import Report
from margin.report.trajectory import Trajectory
from margin.stats.estimate import Estimate
from margin.study.notation import interval, number
from margin.study.sections.margins import MarginsSection
from margin.study.sections.null import Null
from margin.study.table import Table
from margin.study.verdict import Status
from margin.text import shown

VARIANTS = {
    "leave_prompt_out": "margin (leave-prompt-out)",
    "prompt_centred": "prompt-centred",
    "plain": "plain, as scikit-learn",
}


STYLES: dict[Status, str] = {
    "holds": "bold green",
    "fails": "bold red",
    "unclear": "bold yellow",
    "unmeasured": "dim",
}
"""Of the marks of a verdict, which read without them."""


def print_summary(report: Report, console: Console) -> None:
    """Print the margin with its interval, its null, the weakest pair and the weakest prompts."""
    headline = report.headline
    margin = headline.leave_prompt_out
    console.print(
        Text.assemble(
            ("Safety Alignment Margin", "bold"),
            f"  {shown(report.title)}\n{margin.n_prompts} prompts x {len(headline.per_mode)} modes, "
            f"{headline.distance} distance in {report.sam_space}, "
            f"{margin.level:.0%} intervals over prompts\n",
        ),
        highlight=False,
    )
    print_verdict(report, console)
    table = Grid([("", False), ("SAM", True), ("interval", True)])
    for variant, label in VARIANTS.items():
        estimate: Estimate = getattr(headline, variant)
        style = "bold" if variant == "leave_prompt_out" else ""
        bounds = interval(estimate.low, estimate.high)
        table.add(label, number(estimate.estimate), bounds, style=style)
    table.add("null (modes permuted)", number(report.null.mean), f"p = {report.null.p_value:.3g}")
    for mode, estimate in headline.per_mode.items():
        bounds = interval(estimate.low, estimate.high)
        table.add(shown(f"mode {mode}"), number(estimate.estimate), bounds)
    for pair, estimate in headline.one_vs_one.items():
        weakest = ", the weakest pair" if pair == report.weakest_pair else ""
        bounds = interval(estimate.low, estimate.high)
        table.add(shown(f"{pair[0]} / {pair[1]}{weakest}"), number(estimate.estimate), bounds)
    console.print(table, highlight=False)
    for section in report:
        if isinstance(section, MarginsSection | Null):
            continue
        for fact in section.facts():
            style = "bold" if fact.alarm else ""
            console.print(shown(fact), style=style, highlight=False, markup=False)


def print_verdict(report: Report, console: Console) -> None:
    """Print the verdict: a mark, and the sentence beside it."""
    grid = Grid([("", False), ("", False)])
    for line in report.verdict.lines:
        mark = Text(line.mark, style=STYLES[line.status])
        grid.add(mark, f"{line.question} {shown(line.sentence)}")
    console.print(grid, highlight=False)
    console.print(f"{report.verdict.asked}\n", style="dim", highlight=False, markup=False)


def print_tables(tables: Iterable[Table], console: Console) -> None:
    """Print tables as they stand, each below its title and note."""
    for found in tables:
        console.print(Text(found.title, style="bold"), highlight=False)
        if found.note:
            console.print(shown(found.note), style="dim", highlight=False, markup=False)
        grid = Grid([(column.name, column.numeric) for column in found.columns])
        for row in found.rows[: found.brief]:
            grid.add(*(cell.text for cell in row))
        console.print(grid, highlight=False)
        if found.brief is not None and len(found.rows) > found.brief:
            console.print(f"the first {found.brief} of {len(found.rows)}", style="dim", highlight=False)
        console.print()


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the leave-prompt-out margin of each run, its paired difference from the first, and how good the
    comparison is: the smallest drop found, the power to find a given one, how many prompts would do."""
    drop = f"{comparison.drop:g}"
    table = Grid(
        [
            ("run", False),
            ("SAM (leave-prompt-out)", True),
            ("plain", True),
            (f"difference from {shown(comparison.reference)}", True),
        ]
    )
    heads = ("p (Holm)", "finds a drop of", f"power at {drop}", f"prompts for {drop}", "to settle it")
    quality = Grid([("run", False), *((head, True) for head in heads)])
    differences = {d.run: d for d in comparison.differences if d.margin == "leave_prompt_out"}
    for name, margins in comparison.margins.items():
        margin = margins.leave_prompt_out
        against = ""
        if name in differences:
            d = differences[name]
            against = f"{d.difference.estimate:+.3f} {interval(d.difference.low, d.difference.high)}"
            if name not in comparison.unchanged:
                quality.add(
                    *(shown(name), f"{d.p_holm:.2g}", f"{d.detectable:.2g}", f"{d.power:.2f}"),
                    prompts(d.prompts_for_drop),
                    "settled" if d.is_settled else prompts(d.prompts_to_settle),
                )
        bounds = interval(margin.low, margin.high)
        estimate = f"{margin.estimate:+.3f} {bounds}"
        table.add(shown(name), estimate, number(margins.plain.estimate), against)
    title = Text("Margins compared", style="bold")
    console.print(title, highlight=False)
    for name, checkpoint in comparison.checkpoints.items():
        console.print(shown(f"{name}: {checkpoint}"), highlight=False, markup=False)
    console.print(f"{len(comparison.prompt_ids)} shared prompts, paired by prompt\n", highlight=False)
    console.print(table, highlight=False)
    console.print()
    if quality.rows:
        console.print(quality, highlight=False)
        console.print("one-sided 5%; prompts for a power of 0.8", style="dim", highlight=False)
    if comparison.unchanged:
        same = f"{shown(', '.join(comparison.unchanged))}: the weights that it is compared with"
        console.print(
            f"{same}, so what differs is rounding (batches, precision, device): no number of prompts "
            "would settle anything",
            highlight=False,
            markup=False,
        )
    told = "these intervals are over prompts, not over trainings: for recipes, margin compare --recipe"
    console.print(told, style="dim", highlight=False)


def prompts(needed: int | None) -> str:
    """A number of prompts, or that it is out of reach."""
    return "> 10 million" if needed is None else f"{needed:,}"


def print_trajectory(found: Trajectory, console: Console) -> None:
    """Print the margin of each checkpoint, its paired difference, and the condition that leaks most."""
    leaks = any(found.leaks.values())
    heads = ("SAM (leave-prompt-out)", f"against the {found.against}")
    table = Grid([("checkpoint", False), *((head, True) for head in heads), *[("most leaks", False)] * leaks])
    for line in found.to_frame().itertuples():
        within = interval(line.difference_low, line.difference_high)
        change = f"{number(line.difference)} {within}" if isinstance(line.reference, str) else ""
        cells = [f"{number(line.estimate)} {interval(line.low, line.high)}", change]
        if leaks:
            worst = max(found.leaks[line.checkpoint], key=lambda leak: leak.value.high or 0)
            rate, high = (number(x, signed=False) for x in (worst.value.estimate, worst.value.high))
            cells.append(shown(f"{rate} ≤ {high} {worst.condition}"))
        table.add(shown(line.checkpoint), *cells)
    console.print(table, highlight=False)
    console.print(
        f"{len(found.comparison.prompt_ids)} shared prompts, paired by prompt; intervals of differences hold "
        "for all checkpoints at once",
        style="dim",
        highlight=False,
    )
