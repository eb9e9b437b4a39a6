"""The report as one page that needs no network: report.html."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import jinja2
import pandas as pd

from margin.report.report import Record, Report
from margin.report.views import views
from margin.report.words import flat, interval, model_name, number, parting, shown, with_interval
from margin.run.run import Run

NO_INTERVAL = ("se", "level", "method")
"""Fields of an estimate that the tables leave to report.json."""


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    value: float | None
    """Number to sort by, None for text and for what is missing."""
    numeric: bool
    """Whether its column holds numbers."""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    numeric: bool


@dataclass(frozen=True)
class Table:
    """A table that can be sorted by each of its columns."""

    key: str
    """Id of its section in the page."""
    title: str
    note: str
    columns: list[Column]
    rows: list[list[Cell]]


def to_html(report: Report, run: Run) -> str:
    """The report as one HTML page that loads nothing: text, tables, and a plot of the points.

    Prompts' text is in it only where the report holds it. What came from outside (names of the model, modes,
    prompts, slices) is shown as text: escaped, set apart in its own direction, with control characters of
    writing direction spelt out. Costs two PCA a captured layer.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("margin.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    margin = report.headline.leave_prompt_out
    return environment.get_template("report.html.jinja").render(
        model=shown(model_name(report.provenance["model"])),
        n_prompts=margin.n_prompts,
        level="–" if margin.level is None else f"{margin.level:.0%}",
        facts=_facts(report),
        parting="" if report.layers is None else parting(report.layers.parting),
        tables=_tables(report),
        provenance={shown(key): shown(value) for key, value in _provenance(report).items()},
        data=views(run, report),
        vega=vega(),
    )


@cache
def vega() -> str:
    """Vega-Embed with Vega and Vega-Lite as one script, which sets `vegaEmbed`."""
    import vl_convert  # here and not above: it is large, and only this page needs it

    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # The bundle keeps its names to itself, and no string in it may end the element it stands in.
    return "(() => {" + script.replace("</script", "<\\/script").replace("<!--", "<\\!--") + "})();"


def table(key: str, title: str, note: str, frame: pd.DataFrame) -> Table:
    """A table of a data frame: numbers to three decimals, what is missing as a dash."""
    frame = frame.dropna(axis="columns", how="all")
    numeric = [
        pd.api.types.is_numeric_dtype(frame[name]) and not pd.api.types.is_bool_dtype(frame[name])
        for name in frame
    ]
    return Table(
        key,
        shown(title),
        note,
        [
            Column(shown(name).replace("_", " "), is_number)
            for name, is_number in zip(frame, numeric, strict=True)
        ],
        [
            [_cell(value, is_number) for value, is_number in zip(row, numeric, strict=True)]
            for row in frame.itertuples(index=False, name=None)
        ],
    )


def _cell(value: Any, numeric: bool) -> Cell:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return Cell("–", None, numeric)
    if not numeric:
        return Cell(shown(value), None, numeric)
    text = str(value) if isinstance(value, int) else number(value, signed=False)
    return Cell(text, float(value), numeric)


def _facts(report: Report) -> list[Record]:
    """What a reader wants first: name, value, note."""
    headline, null = report.headline, report.null
    margin = headline.leave_prompt_out
    pair = headline.one_vs_one[report.weakest_pair]
    facts = [
        (
            f"{headline.distance} margin in {headline.space}",
            number(margin.estimate),
            f"{interval(margin.low, margin.high)} leave-prompt-out",
        ),
        (
            "if the modes made no difference",
            number(null.mean),
            f"p = {null.p_value:.3g}, {null.permutations} permutations",
        ),
        (
            "prompt-centred margin",
            number(headline.prompt_centred.estimate),
            interval(headline.prompt_centred.low, headline.prompt_centred.high),
        ),
        (
            "weakest pair",
            shown(" / ".join(report.weakest_pair)),
            with_interval(pair.estimate, pair.low, pair.high),
        ),
    ]
    for found in report.slices:
        if found.worst is not None:
            lowest = found.margins[found.names.index(found.worst)]
            note = with_interval(lowest.estimate, lowest.low, lowest.high)
            facts.append((f"weakest {shown(found.column)}", shown(found.worst), note))
    return [{"name": name, "value": value, "note": note} for name, value, note in facts]


def _tables(report: Report) -> list[Table]:
    headline = report.headline
    lines = headline.to_frame()
    margins = report.to_frame()
    found = [
        table(
            "by-distance",
            "Margins",
            "Each distance; a margin runs from −1 to 1. Plain has no valid interval.",
            _brief(margins[margins["quantity"] == "sam"])[
                ["distance", "space", "name", "estimate", "low", "high", "n_prompts"]
            ].rename(columns={"name": "variant"}),
        ),
        table(
            "by-mode",
            "By mode and by pair of modes",
            f"Leave-prompt-out, {headline.distance} in {headline.space}.",
            _brief(lines[lines["quantity"] != "sam"])[["name", "estimate", "low", "high"]],
        ),
        table(
            "by-space",
            "Where the margin depends on the choice of space and distance",
            "Every space under every distance.",
            _brief(report.spaces)[["space", "distance", "variant", "estimate", "low", "high"]],
        ),
        table(
            "separation",
            "Separation",
            "Other measures of how far modes stand apart.",
            _brief(report.separation),
        ),
    ]
    found += [
        table(
            f"slices-{i}",
            f"By {column.column}",
            "Lower bounds hold for all slices at once; slices of too few prompts have none.",
            _brief(column.to_frame())[["slice", "n_prompts", "estimate", "low"]],
        )
        for i, column in enumerate(report.slices)
    ]
    if report.layers is not None:
        found.append(
            table(
                "layers", "By layer", "Bands hold for all layers at once.", _brief(report.layers.to_frame())
            )
        )
    records = report.to_dict()
    found += [
        table("robustness", "Other conditions", "Prompts without a mode's token in its place.", controls)
        for controls in [_brief(pd.DataFrame(records["robustness"]))]
        if len(controls)
    ]
    found.append(
        table(
            "prompts",
            "Prompts",
            "Weakest first. Margin: mean leave-prompt-out silhouette of a prompt over its modes.",
            report.prompts,
        )
    )
    return [one for one in found if one.rows]


def _brief(frame: pd.DataFrame) -> pd.DataFrame:
    """Without the fields of an estimate that the page's text says once."""
    return frame.drop(columns=[name for name in NO_INTERVAL if name in frame])


def _provenance(report: Report) -> Record:
    floor = {} if report.noise_floor is None else {"noise_floor": report.noise_floor}
    return flat(report.provenance | floor)
