"""What a notebook shows of a report."""

from __future__ import annotations

import jinja2

from margin.report.report import Report
from margin.text import shown

TEMPLATE = """<strong>Safety Alignment Margin of {{ model }}</strong>
<ul>{% for line in verdict %}
<li><strong>{{ line.mark }}</strong>: {{ line.question }} {{ line.sentence }}</li>{% endfor %}</ul>
<table>{% for fact in facts %}
<tr><td style="text-align:left">{{ fact.name }}</td><td style="text-align:left">{{ fact.value }}</td>
<td style="text-align:left">{{ fact.note }}</td></tr>{% endfor %}</table>"""


def to_cell(report: Report) -> str:
    """The facts of a report as HTML; text from outside is escaped."""
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(TEMPLATE)
    facts = [
        {"name": shown(fact.name), "value": shown(fact.value), "note": shown(fact.note)}
        for fact in report.facts()
        if fact.value
    ]
    verdict = [
        {"mark": line.mark, "question": line.question, "sentence": shown(line.sentence)}
        for line in report.verdict.lines
    ]
    return template.render(model=shown(report.checkpoint), facts=facts, verdict=verdict)
