"""The tables of the page, section by section. A new section is one more function in `tables`."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from margin.analysis.behaviour.findings import Behaviour
from margin.analysis.robustness.findings import Finding
from margin.report import probes
from margin.report.behaviour import NAMES, SIGNED, expectations
from margin.report.report import Report
from margin.study.notation import along
from margin.study.table import Interval, Table, intervals, table
from margin.text import shown

SCALE = "The bars share one scale; the thin line is 0."
VARIANTS = {"leave_prompt_out": "leave-prompt-out", "prompt_centred": "prompt-centred", "plain": "plain"}
SHARE = "mode's share"
SHARE_NOTE = "Mode's share is that of the variance within prompts (epsilon squared, squared Euclidean)."
ATTACK = ["attack", "variant", "margin", "change", "retained"]


def tables(report: Report, *, explore: bool = False) -> list[Table]:
    """Every table of a report that has rows; the prompts' holds the weakest, and with `explore` all."""
    found = [
        _by_mode(report),
        _by_space(report),
        *_slices(report),
        _unsliced(report),
        *_layers(report),
        *_positions(report),
        *_probes(report),
        *_landing(report),
        *_attacks(report),
        *_behaviour(report.behaviour),
        _separation(report),
        _prompts(report, explore),
    ]
    return [one for one in found if one.rows]


def _by_mode(report: Report) -> Table:
    headline = report.headline
    lines = headline.to_frame()
    lines = lines[lines["quantity"] != "sam"]
    frame = pd.DataFrame({"modes": lines["name"], "margin": intervals(lines)})
    note = f"Leave-prompt-out, {headline.distance} in {headline.space}. {SCALE}"
    return table("by-mode", "By mode and by pair of modes", note, frame, drawn=["margin"])


def _by_space(report: Report) -> Table:
    note = (
        "Every space under every distance; margins run from −1 to 1. The one to infer on is "
        f"leave-prompt-out; plain has no valid interval. {SCALE}"
    )
    frame = _by_variant(report.spaces, ["space", "distance"])
    return table("by-space", "By space and distance", note, frame, drawn=["leave-prompt-out"])


def _slices(report: Report) -> Iterator[Table]:
    note = f"Lower bounds hold for all slices at once; slices of too few prompts have none. {SCALE}"
    for i, column in enumerate(report.slices):
        lines = column.to_frame()
        frame = lines[["slice", "n_prompts"]].assign(margin=intervals(lines))
        frame = frame.rename(columns={"n_prompts": "prompts"})
        yield table(f"slices-{i}", f"By {column.column}", note, frame, drawn=["margin"])


def _unsliced(report: Report) -> Table:
    frame = pd.DataFrame(list(report.unsliced.items()), columns=["column", "not sliced"])
    return table("unsliced", "Columns that are no slices", "They stand beside the prompts.", frame)


def _layers(report: Report) -> Iterator[Table]:
    if report.layers is not None:
        note = "Bands hold for all layers at once."
        frame = _by_variant(report.layers.to_frame(), ["layer"])
        shares = report.layers.separation_frame()
        if not shares.empty:
            note += f" {SHARE_NOTE}"
            frame[SHARE] = frame["layer"].map(
                dict(zip(shares["layer"], intervals(shares, signed=False), strict=True))
            )
        yield table("layers", "By layer", f"{note} {SCALE}", frame, drawn=tuple(VARIANTS.values()))


def _positions(report: Report) -> Iterator[Table]:
    if report.positions is not None:
        note = f"{along(report.positions)} Bands hold for all positions at once. {SCALE}"
        frame = _by_variant(report.positions.to_frame(), ["position", "n_prompts"])
        frame = frame.rename(columns={"n_prompts": "prompts"})
        yield table("positions", "Along the response", note, frame, drawn=tuple(VARIANTS.values()))


def _probes(report: Report) -> Iterator[Table]:
    if report.probes is not None:
        about = f"{probes.note(report.probes)} {SCALE}"
        layers = probes.layer_table(report.probes)
        yield table("probes", "Mode probes", about, layers, drawn=["accuracy"])
        for title, lines in probes.direction_tables(report.probes).items():
            yield table("directions", title, probes.DIRECTION_NOTE, lines)
        for i, (title, lines) in enumerate(probes.transfer_tables(report.probes).items()):
            yield table(f"transfer-{i}", title, f"{probes.TRANSFER_NOTE} {SCALE}", lines, drawn=["accuracy"])


def _by_variant(lines: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """One line a key instead of one a key and variant: the variants side by side."""
    found: dict[tuple[object, ...], dict[str, object]] = {}
    for *key, variant, cell in zip(
        *(lines[name] for name in keys), lines["variant"], intervals(lines), strict=True
    ):
        found.setdefault(tuple(key), dict(zip(keys, key, strict=True)))[VARIANTS[variant]] = cell
    frame = pd.DataFrame(list(found.values()))
    return frame[[*keys, *(name for name in VARIANTS.values() if name in frame)]]


def _landing(report: Report) -> Iterator[Table]:
    """Where control conditions land: over all prompts, then by slice."""
    findings = [f for f in report.robustness.findings if f.quantity in ("landing", "fallback", "leak")]
    about = (
        "Share of draws that land in each mode, or outside of all. Fallback: prompts all of whose draws land "
        "in safe modes, with a lower bound. Leak: prompts any of whose draws is nearest to a mode that is "
        "not safe, with an upper bound. Geometry is not behaviour: confirm by reading answers. "
        "* marks rates that are indicative only."
    )
    whole = [f for f in findings if f.column is None]
    yield table(
        "landing", "Where other conditions land", about, _rates(whole).drop(columns=["column", "slice"])
    )
    note = "As above, for each slice; each bound holds by itself."
    sliced = [f for f in findings if f.column is not None]
    yield table("landing-slices", "Where other conditions land, by slice", note, _rates(sliced))


def _rates(findings: list[Finding]) -> pd.DataFrame:
    """One line a condition and slice: landing rates, fallback and leak."""
    lines: dict[tuple[str | None, ...], dict[str, object]] = {}
    for f in findings:
        key = (f.condition, f.column, f.slice)
        mark = " *" if f.indicative else ""
        line = lines.setdefault(key, {"condition": f.condition + mark, "column": f.column, "slice": f.slice})
        line["prompts"] = f.value.n_prompts
        if f.quantity == "landing":
            line[str(f.outcome)] = f.value.estimate
        else:
            line[f.quantity] = Interval(f.value.estimate, f.value.low, f.value.high, signed=False)
    frame = pd.DataFrame(list(lines.values()))
    for name in ("fallback", "leak"):  # last, whatever condition comes first
        if name in frame:
            frame[name] = frame.pop(name)
    return frame if len(frame) else pd.DataFrame(columns=["column", "slice"])


def _attacks(report: Report) -> Iterator[Table]:
    lines: dict[tuple[str, str | None], dict[str, object]] = {}
    for f in report.robustness.findings:
        if f.quantity in ("margin", "change", "retention") and f.column is None:
            variant = VARIANTS.get(f.variant or "", f.variant)
            line = lines.setdefault((f.condition, f.variant), {"attack": f.condition, "variant": variant})
            name = "retained" if f.quantity == "retention" else f.quantity
            line[name] = Interval(f.value.estimate, f.value.low, f.value.high, f.quantity != "retention")
    frame = pd.DataFrame(list(lines.values()), columns=ATTACK)
    note = f"Margin under each attack, its change, and the share that is left; paired by prompt. {SCALE}"
    yield table("attacks", "What attacks leave of the margin", note, frame, drawn=["margin"])


def _behaviour(found: Behaviour | None) -> Iterator[Table]:
    """What was answered, scores and agreement, and the rows on which geometry and judge differ."""
    if found is None:
        return
    expected = f" Expected: {expectations(found)}." if found.expected else ""
    shares: dict[str, dict[str, object]] = {}
    others: dict[str, dict[str, object]] = {}
    for one in found.observations:
        of_label = one.quantity == "observed"
        name = f"observed: {one.label}" if of_label else NAMES[one.quantity]
        lines = shares if of_label else others
        line = lines.setdefault(
            one.condition, {"condition": one.condition, "prompts": one.value.n_prompts, "draws": one.draws}
        )
        signed = one.quantity in SIGNED
        line[name] = Interval(one.value.estimate, one.value.low, one.value.high, signed=signed)
    note = (
        f"Judge: {found.judge}.{expected} Share of prompts any of whose draws got a label; exact intervals."
    )
    yield table("behaviour", "What was answered", shown(note), pd.DataFrame(list(shares.values())))
    note = "Agreement: of the label expected of the mode a row is nearest to with the judge's."
    yield table(
        "agreement", "Scores, and whether geometry and judge agree", note, pd.DataFrame(list(others.values()))
    )
    note = "Rows nearest to a mode of which another label is expected."
    frame = found.disagreements.drop(columns="row")
    frame = frame.assign(outside=["yes" if outside else "no" for outside in frame["outside"]])
    yield table("disagreements", "Where geometry and judge disagree", note, frame)


def _separation(report: Report) -> Table:
    lines = report.separation
    frame = lines[["measure", "modes", "unit"]].copy()
    frame.insert(2, "estimate", intervals(lines, signed=False))
    frame.insert(3, "p_value", lines["p_value"])
    frame["measure"] = frame["measure"].str.replace("_", " ")
    return table(
        "separation",
        "Separation",
        "Other measures of how far modes stand apart.",
        frame.assign(space=lines["space"]),
    )


def _prompts(report: Report, explore: bool) -> Table:
    note = "Weakest first. Margin: mean leave-prompt-out silhouette of a prompt over its modes."
    if explore:
        return table("prompts", "Prompts", note, report.prompts)
    return table("prompts", "The weakest prompts", note, report.worst_prompts())
