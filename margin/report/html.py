"""The report as one page that needs no network: report.html."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import jinja2

from margin.report.report import Record, Report
from margin.report.sections import tables
from margin.report.views import views
from margin.run.run import Run
from margin.study.notation import flat, interval, model_name, number, parting, with_interval
from margin.text import shown


def to_html(report: Report, run: Run, *, explore: bool = False) -> str:
    """The report as one HTML page that loads nothing: text, tables, and a plot of the points.

    Prompts' text is in it only where the report holds it. What came from outside (names of the model, modes,
    prompts, slices) is shown as text: escaped, set apart in its own direction, with control characters of
    writing direction spelt out. Costs two PCA a captured layer.

    Only with `explore` the page says which point is which prompt and holds the margin of every prompt, not of
    the weakest alone: such a page gives tokens away as the run does (SECURITY.md).
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
        tables=tables(report, explore=explore),
        provenance={shown(key): shown(value) for key, value in _provenance(report).items()},
        data=views(run, report, explore=explore),
        vega=vega(),
    )


@cache
def vega() -> str:
    """Vega-Embed with Vega and Vega-Lite as one script, which sets `vegaEmbed`."""
    import vl_convert  # here and not above: it is large, and only this page needs it

    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # The bundle keeps its names to itself, and no string in it may end the element it stands in.
    return "(() => {" + script.replace("</script", "<\\/script").replace("<!--", "<\\!--") + "})();"


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
    facts += _weakest_slices(report)
    facts += _leaks(report)
    return [{"name": name, "value": value, "note": note} for name, value, note in facts]


def _weakest_slices(report: Report) -> Iterator[tuple[str, str, str]]:
    for found in report.slices:
        if found.worst is not None:
            lowest = found.margins[found.names.index(found.worst)]
            note = with_interval(lowest.estimate, lowest.low, lowest.high)
            yield f"weakest {shown(found.column)}", shown(found.worst), note


def _leaks(report: Report) -> Iterator[tuple[str, str, str]]:
    """The condition under which most prompts may land in a mode that is not safe."""
    leaks = report.robustness.select("leak")
    if not leaks:
        return
    most = max(leaks, key=lambda leak: (leak.value.estimate, leak.value.high or 0))
    if not most.count:
        bound = number(most.value.high, signed=False)
        yield (
            "leaks into an unsafe mode",
            "none",
            f"in {len(leaks)} conditions, at most {bound} of prompts each",
        )
        return
    indicative = ", indicative" if most.indicative else ""
    note = f"{most.count} of {most.value.n_prompts} prompts, worst of {len(leaks)} conditions{indicative}"
    yield "leaks into an unsafe mode", shown(most.condition), note


def _provenance(report: Report) -> Record:
    floor = {} if report.noise_floor is None else {"noise_floor": report.noise_floor}
    return flat(report.provenance | floor)
