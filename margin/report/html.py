"""The report as one page that needs no network: report.html."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from margin.report.layout import layout_of
from margin.report.report import Report
from margin.report.views import views
from margin.study.glossary import meaning
from margin.study.section import Fact
from margin.study.sections.outcomes import Outcomes
from margin.study.sections.prompts import Prompts
from margin.study.table import Table
from margin.text import shown

VEGA = Path(str(files("margin.report") / "templates" / "vega.js"))
"""Vega, Vega-Lite and Vega-Embed as one script, which sets `vegaEmbed`: made by `tests/vega_bundle.py`."""
_OPTION = re.compile(r"--[a-z][a-z-]*")


def to_html(report: Report, *, explore: bool = False) -> str:
    """The report as one HTML page that loads nothing: text, tables, and a plot of the points.

    Prompts' text is in it only where the report holds it. What came from outside (names of the model, modes,
    prompts, slices) is shown as text: escaped, set apart in its own direction, with control characters of
    writing direction spelt out. Costs two PCA a captured layer.

    Only with `explore` the page says which point is which prompt, holds the margin of every prompt, not of
    the weakest alone, and lists the rows behind each count of outcomes: such a page gives tokens away as the
    run does (SECURITY.md).
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("margin.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["shown"] = _shown
    tables: dict[str, Table] = {}
    leads: dict[Fact, str] = {}
    for section in report:
        own = {table.key: table for table in section.tables() if table.rows}
        leads |= dict.fromkeys(section.facts(), next(iter(own), ""))
        tables |= own
    facts, prompts = report.facts(), report.section(Prompts)
    if explore and prompts is not None:
        tables["prompts"] = prompts.all()
    outcomes = report.section(Outcomes)
    details = outcomes.details() if explore and outcomes is not None else {}
    rows = {key: [[shown(value) for value in line] for line in lines] for key, lines in details.items()}
    columns = [] if outcomes is None else outcomes.detail_columns
    return environment.get_template("report.html.jinja").render(
        model=shown(report.title),
        n_prompts=report.headline.leave_prompt_out.n_prompts,
        modes=[(mode.name, mode.safe) for mode in report.run.manifest.identity.modes],
        level=f"{report.study.settings.level:.0%}",
        cards=[fact for fact in facts if fact.card],
        sentences=[fact for fact in facts if fact.alarm or not fact.card],
        leads=leads,
        layout=layout_of,
        meaning=meaning,
        tables=list(tables.values()),
        verdict=report.verdict,
        data=views(report, explore=explore) | {"outcomes": {"columns": columns, "rows": rows}},
        vega=VEGA.read_text(encoding="utf-8"),
    )


def _shown(text: object) -> Markup:
    """Text from outside, safe to show; names of options are kept on one line."""
    return Markup(_OPTION.sub(r'<span class="option">\g<0></span>', str(escape(shown(text)))))
