"""The summary a person reads in ten seconds."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from margin.analysis.comparison import Comparison
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
    print_verdict(report, console)
    table = Grid(box=None, pad_edge=False, header_style="dim")
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
    for section in report:
        if isinstance(section, MarginsSection | Null):
            continue
        for fact in section.facts():
            style = "bold" if fact.alarm else ""
            console.print(shown(fact), style=style, highlight=False, markup=False)


def print_verdict(report: Report, console: Console) -> None:
    """Print the verdict: a mark, and the sentence beside it."""
    grid = Grid(box=None, pad_edge=False, show_header=False)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for line in report.verdict.lines:
        grid.add_row(
            Text(line.mark, style=STYLES[line.status]), Text(f"{line.question} {shown(line.sentence)}")
        )
    console.print(grid, highlight=False)
    console.print(f"{report.verdict.asked}\n", style="dim", highlight=False, markup=False)


def print_tables(tables: Iterable[Table], console: Console) -> None:
    """Print tables as they stand, each below its title and note."""
    for found in tables:
        console.print(Text(found.title, style="bold"), highlight=False)
        if found.note:
            console.print(shown(found.note), style="dim", highlight=False, markup=False)
        grid = Grid(box=None, pad_edge=False, header_style="dim")
        for column in found.columns:
            grid.add_column(Text(column.name), justify="right" if column.numeric else "left")
        for row in found.rows[: found.brief]:
            grid.add_row(*(Text(cell.text) for cell in row))
        console.print(grid, highlight=False)
        if found.brief is not None and len(found.rows) > found.brief:
            console.print(f"the first {found.brief} of {len(found.rows)}", style="dim", highlight=False)
        console.print()


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the leave-prompt-out margin of each run, its paired difference from the first, and how good the
    comparison is: the smallest drop found, the power to find a given one, how many prompts would do."""
    table = Grid(box=None, pad_edge=False, header_style="dim")
    quality = Grid(box=None, pad_edge=False, header_style="dim")
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
    told = "these intervals are over prompts, not over trainings: for recipes, margin compare --recipe"
    console.print(told, style="dim", highlight=False)


def prompts(needed: int | None) -> str:
    """A number of prompts, or that it is out of reach."""
    return "> 10 million" if needed is None else f"{needed:,}"


def print_trajectory(found: Trajectory, console: Console) -> None:
    """Print the margin of each checkpoint, its paired difference, and the condition that leaks most."""
    leaks = any(found.leaks.values())
    table = Grid(box=None, pad_edge=False, header_style="dim")
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
