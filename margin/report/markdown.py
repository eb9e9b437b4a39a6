"""The report as Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import zip_longest

import jinja2
import pandas as pd

from margin.analysis.behaviour.findings import Behaviour
from margin.analysis.prompt_margins import Spread
from margin.analysis.robustness.findings import Finding, Robustness
from margin.analysis.slices import MIN_PROMPTS
from margin.report.behaviour import disagreement_lines, expectations, matrix_lines, number_lines
from margin.report.probes import (
    DIRECTION_NOTE,
    TRANSFER_NOTE,
    direction_tables,
    layer_table,
    note,
    transfer_tables,
)
from margin.report.report import Record, Report
from margin.stats.estimate import Estimate
from margin.study.notation import along, flat, interval, number, parting, with_interval
from margin.study.table import Interval
from margin.text import shown

ESCAPED = str.maketrans(
    {c: f"\\{c}" for c in "\\`*_{}[]|#!~"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "&#64;"}
)


def to_markdown(report: Report) -> str:
    """The report as GitHub-flavoured Markdown."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("margin.report"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # Markdown, not HTML: `cell` escapes what came from outside
        keep_trailing_newline=True,
    )
    environment.filters |= {"estimate": estimate, "cell": cell, "number": number}
    margin = report.headline.leave_prompt_out
    layers, positions = report.layers, report.positions
    return environment.get_template("report.md.jinja").render(
        model=cell(report.provenance["model"]),
        n_prompts=margin.n_prompts,
        level=f"{margin.level:.0%}",
        modes=[cell(mode) for mode in report.headline.per_mode],
        headline=report.headline,
        null=report.null,
        weakest_pair=[cell(mode) for mode in report.weakest_pair],
        sam=report.sam,
        spaces=_spaces(report.spaces),
        separation=[_measure(line) for line in report.separation.to_dict("records")],
        slice_columns=[
            {
                "column": slices.column,
                "worst": slices.worst,
                "rows": list(zip(slices.names, slices.margins, strict=True)),
            }
            for slices in report.slices
        ],
        unsliced=[f"{cell(column)} ({why})" for column, why in report.unsliced.items()],
        min_prompts=MIN_PROMPTS,
        layers=list(
            zip_longest(layers.layers, layers.leave_prompt_out, layers.prompt_centred, layers.separation)
        )
        if layers
        else [],
        parting=parting(layers.parting) if layers else "",
        positions=list(
            zip(positions.positions, positions.leave_prompt_out, positions.prompt_centred, strict=True)
        )
        if positions
        else [],
        along=along(positions) if positions else "",
        probes=_probes(report.probes),
        outcomes=[cell(outcome) for outcome in dict.fromkeys(report.robustness.landings()["outcome"])],
        landings=_landings(f for f in report.robustness.findings if f.column is None),
        landings_by_slice=_landings(f for f in report.robustness.findings if f.column is not None),
        attacks=_attacks(report.robustness),
        behaviour=_behaviour(report.behaviour),
        spreads=[_spread(spread) for spread in report.spreads],
        worst=report.worst_prompts(),
        provenance=flat(report.provenance),
    )


def estimate(value: Estimate) -> str:
    """An estimate with its interval, where it has one."""
    return with_interval(value.estimate, value.low, value.high)


def cell(value: object) -> str:
    """Text from outside as it stands, on one line: nothing in it that Markdown, HTML or a terminal obeys."""
    return shown(number(value) if isinstance(value, float) else value).translate(ESCAPED)


def _spaces(table: pd.DataFrame) -> list[Record]:
    lines: dict[tuple[str, str], Record] = {}
    for line in table.to_dict("records"):
        key = (line["space"], line["distance"])
        found = lines.setdefault(key, {"space": line["space"], "distance": line["distance"]})
        found[line["variant"]] = with_interval(line["estimate"], line["low"], line["high"])
    return list(lines.values())


def _probes(probes: Record | None) -> list[Record]:
    """The tables on probes: title, note, columns and lines; none where the run was not probed."""
    if probes is None:
        return []
    tables = {"Mode probes": (note(probes), layer_table(probes))}
    tables |= {title: (DIRECTION_NOTE, lines) for title, lines in direction_tables(probes).items()}
    tables |= {title: (TRANSFER_NOTE, lines) for title, lines in transfer_tables(probes).items()}
    return [
        {
            "title": title,
            "note": about,
            "columns": list(lines),
            "lines": [[_cell(value) for value in line] for line in lines.itertuples(index=False)],
        }
        for title, (about, lines) in tables.items()
    ]


def _cell(value: object) -> str:
    if isinstance(value, Interval):
        return with_interval(value.estimate, value.low, value.high, signed=value.signed) or "–"
    return cell(value)


def _spread(spread: Spread) -> Record:
    share = spread.share_below
    low_high = interval(share.low, share.high, signed=False)
    line: Record = spread.to_frame().to_dict("records")[0]
    return {**line, "share": f"{number(share.estimate, signed=False)} {low_high}"}


def _landings(findings: Iterable[Finding]) -> list[Record]:
    """One line a condition and slice: landing rates, and fallback and leak where they are asked."""
    lines: dict[tuple[str | None, ...], Record] = {}
    for finding in findings:
        key = (finding.condition, finding.column, finding.slice)
        line = lines.setdefault(key, {"rates": [], "fallback": "–", "leak": "–"})
        value = finding.value
        if finding.quantity == "landing":
            line |= {"condition": finding.condition, "slice": f"{finding.column}: {finding.slice}"}
            line |= {"indicative": finding.indicative}
            line["rates"].append(number(value.estimate, signed=False))
        elif finding.quantity in ("fallback", "leak"):
            bounds = interval(value.low, value.high, signed=False)
            line[finding.quantity] = f"{finding.count} of {value.n_prompts} {bounds}"
    return [line for line in lines.values() if line["rates"]]


def _attacks(robustness: Robustness) -> list[Record]:
    """One line an attack and variant of the margin."""
    lines: dict[tuple[str, str | None], Record] = {}
    for quantity in ("margin", "change", "retention"):
        for finding in robustness.select(quantity):
            about = {"condition": finding.condition, "variant": finding.variant, "retention": "–"}
            line = lines.setdefault((finding.condition, finding.variant), about)
            line[quantity] = estimate(finding.value)
    return list(lines.values())


def _behaviour(found: Behaviour | None) -> Record | None:
    """Tables of what was answered, as text."""
    if found is None:
        return None
    columns, lines = disagreement_lines(found)
    return {
        "judge": cell(found.judge),
        "expected": cell(expectations(found)),
        "tables": [matrix_lines(found), number_lines(found)],
        "draws": max(one.draws for one in found.observations),
        "indicative": any(one.indicative for one in found.observations),
        "total": len(found.disagreements),
        "columns": columns,
        "lines": lines,
    }


def _measure(line: Record) -> Record:
    p = line["p_value"]
    value = number(line["estimate"], signed=False)
    return {
        **line,
        "text": f"{value} {interval(line['low'], line['high'], signed=False)}",
        "p": "" if p is None or math.isnan(p) else f"{p:.3g}",
    }
