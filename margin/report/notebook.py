"""What a notebook shows of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jinja2

from margin.text import shown

if TYPE_CHECKING:
    from margin.report.points import PointReport

TEMPLATE = """<strong>Safety Alignment Margin of {{ title }}</strong>{% if verdict %}
<ul>{% for line in verdict %}
<li><strong>{{ line.mark }}</strong>: {{ line.question }} {{ line.sentence }}</li>{% endfor %}</ul>{% endif %}
<table>{% for fact in facts %}
<tr><td style="text-align:left">{{ fact.name }}</td><td style="text-align:left">{{ fact.value }}</td>
<td style="text-align:left">{{ fact.note }}</td></tr>{% endfor %}</table>"""


def to_cell(report: PointReport) -> str:
    """The facts of a report as HTML; text from outside is escaped."""
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(TEMPLATE)
    facts = [
        {"name": shown(fact.name), "value": shown(fact.value), "note": shown(fact.note)}
        for fact in report.facts()
        if fact.value
    ]
    found = report.verdict
    verdict = [
        {"mark": line.mark, "question": line.question, "sentence": shown(line.sentence)}
        for line in (() if found is None else found.lines)
    ]
    return template.render(title=shown(report.title), facts=facts, verdict=verdict)
