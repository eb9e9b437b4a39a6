"""report.html in a real browser: what it shows, how it answers, and that it asks the network for nothing."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from margin.capture.collect import collect
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.report.analyse import analyse
from margin.report.html import VEGA, to_html
from margin.report.report import Report
from margin.report.views import NOTHING
from margin.run.run import Run
from tests.margin.conftest import TOKENS
from tests.margin.report.browsing import Driver, show, text, written
from tests.vega_bundle import bundle, maker

if TYPE_CHECKING:
    from margin.capture.checkpoint import Checkpoint

SCRIPT = "<script>document.title='taken'</script>"
QUOTED = "\"a' onmouseover='document.title=1' </td>"
TURNED = "abc\u202etxt.exe"
"""A mark that turns the direction of writing: unseen, the name reads "abcexe.txt"."""


@pytest.fixture(scope="module")
def page(run: Run, report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(to_html(report, explore=True), tmp_path_factory.mktemp("page"))


def test_the_shipped_script_is_what_the_package_that_makes_it_gives() -> None:
    shipped = VEGA.read_text(encoding="utf-8")
    assert shipped.count("</script") + shipped.count("<!--") == 0  # it ends no element it stands in
    if maker() not in shipped.partition("*/")[0]:
        pytest.skip(f"{maker()} is another version than the script was made with")
    assert shipped == bundle()


def marks(browser: Driver) -> list[WebElement]:
    return browser.find_elements(By.CSS_SELECTOR, "#plot g.mark-symbol.layer_0_marks path")


def wait_for_marks(browser: Driver, count: int) -> None:
    """Vega draws a moment after it was told to."""
    WebDriverWait(browser, 20).until(lambda b: len(marks(b)) == count)


def column(browser: Driver, place: int) -> list[str]:
    cells = browser.find_elements(
        By.CSS_SELECTOR, f"#prompts-table tbody tr:not([hidden]) td:nth-child({place})"
    )
    return [cell.text for cell in cells]


def test_the_page_asks_for_nothing_and_complains_of_nothing(browser: Driver, page: Path) -> None:
    show(browser, page)
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert page.as_uri() in asked
    assert all(url == page.as_uri() or url.startswith("data:") for url in asked)
    assert browser.get_log("browser") == []


def test_facts_lead_to_their_tables_and_no_link_leads_nowhere(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    linked = re.findall(r'href="#([^"]+)"', html)
    assert set(linked) <= set(re.findall(r'id="([^"]+)"', html))
    cards = re.findall(r'<dt><a href="#([^"]+)">', html)
    assert {"by-mode", "layers"} <= set(cards)


def test_a_point_tells_its_prompt_mode_margin_and_slice(browser: Driver, page: Path, report: Report) -> None:
    show(browser, page)
    assert len(marks(browser)) == len(report.headline.samples)
    ActionChains(browser).move_to_element(marks(browser)[0]).perform()
    WebDriverWait(browser, 20).until(lambda b: text(b, "tip"))
    told = text(browser, "tip")
    for word in ("prompt p", "mode ", "margin ", "topic: "):
        assert word in told


def test_the_keyboard_goes_through_the_points_weakest_first(
    browser: Driver, page: Path, report: Report
) -> None:
    show(browser, page)
    browser.find_element(By.ID, "plot").send_keys(Keys.ARROW_RIGHT)
    assert f"margin {report.headline.samples.min():.3f}" in text(browser, "detail")
    browser.find_element(By.ID, "plot").send_keys(Keys.ARROW_LEFT)
    assert f"margin {report.headline.samples.max():.3f}" in text(browser, "detail")


def test_points_are_filtered_by_mode_and_slice(browser: Driver, page: Path, run: Run) -> None:
    show(browser, page)
    chain = int((run.prompts["topic"] == "chain").sum())
    browser.find_element(By.CSS_SELECTOR, "#modes input").click()
    wait_for_marks(browser, 2 * len(run.prompts))
    Select(browser.find_element(By.CSS_SELECTOR, "select.slice")).select_by_visible_text("chain")
    wait_for_marks(browser, 2 * chain)
    assert len(column(browser, 1)) == chain
    browser.find_element(By.ID, "reset").click()
    wait_for_marks(browser, 3 * len(run.prompts))
    assert len(column(browser, 1)) == len(run.prompts)


def test_a_selection_in_the_plot_selects_prompts(browser: Driver, page: Path, run: Run) -> None:
    show(browser, page)
    plot = browser.find_element(By.ID, "plot")
    drag = ActionChains(browser).move_to_element_with_offset(plot, -450, -180).click_and_hold()
    drag.move_to_element_with_offset(plot, 0, 180).release().perform()
    WebDriverWait(browser, 20).until(lambda b: text(b, "found"))
    assert 0 < len(column(browser, 1)) < len(run.prompts)


def test_tables_sort_as_numbers_and_as_text(browser: Driver, page: Path, report: Report) -> None:
    show(browser, page)
    heads = browser.find_elements(By.CSS_SELECTOR, "#prompts-table thead button")
    names = [head.text.split()[0] for head in heads]
    ids, margins = names.index("prompt"), names.index("margin")
    heads[margins].click()
    heads[margins].click()
    found = [float(value) for value in column(browser, margins + 1)]
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(report.prompts["margin"].max(), abs=5e-4)
    assert heads[margins].find_element(By.XPATH, "..").get_attribute("aria-sort") == "descending"
    heads[ids].click()
    assert set(column(browser, ids + 1)) == set(report.prompts["prompt_id"])
    assert column(browser, ids + 1)[0] == "p0"


def test_the_slider_goes_through_the_layers(browser: Driver, page: Path, run: Run) -> None:
    show(browser, page)
    slider = browser.find_element(By.ID, "layer")
    seen = [text(browser, "view").split(":")[0]]
    for _ in run.layers:
        slider.send_keys(Keys.ARROW_LEFT)
        seen.append(text(browser, "view").split(":")[0])
    assert seen == ["logits", *(f"layer {layer}" for layer in reversed(run.layers))]
    assert browser.get_log("browser") == []


def test_both_themes_can_be_read(browser: Driver, page: Path) -> None:
    show(browser, page)
    for _ in range(2):
        ink, paper = (
            browser.execute_script(f"return getComputedStyle(document.body).{name}")
            for name in ("color", "backgroundColor")
        )
        assert contrast(ink, paper) > 7
        browser.find_element(By.ID, "theme").click()
    assert browser.get_log("browser") == []


def contrast(*colours: str) -> float:
    """Contrast of two colours rgb(r, g, b) by WCAG 2, 1 to 21."""
    lights = []
    for colour in colours:
        channels = [int(value) / 255 for value in colour.partition("(")[2].rstrip(")").split(",")[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_names_from_outside_are_shown_as_text(
    browser: Driver, make_checkpoint: Callable[..., Checkpoint], prompts: list[str], tmp_path: Path
) -> None:
    checkpoint = make_checkpoint()
    checkpoint = replace(checkpoint, name=SCRIPT)
    hostile = [SCRIPT, QUOTED, TURNED]
    table = pd.DataFrame(
        {
            "id": [SCRIPT, QUOTED, *"abcd"],  # direction marks are refused in ids
            "prompt": [f"{text} {i}" for i, text in enumerate([*hostile, *prompts[:3]])],
            "topic": [*hostile, *hostile],
        }
    )
    names = ("pos", "neg", "rej")
    modes = ModeSet(tuple(Mode(name, Secret(TOKENS[name]), safe=name != "neg") for name in names))
    run = collect(checkpoint, prompts=table, modes=modes, out=tmp_path / "run", decoys=0, quiet=True)
    page = written(to_html(analyse(run, permutations=9, text=True), explore=True), tmp_path)
    show(browser, page)
    assert browser.title == f"Safety Alignment Margin: {SCRIPT}"
    spelt_out = "abc[U+202E]txt.exe"
    assert {SCRIPT, QUOTED} <= set(column(browser, 1))
    menu = Select(browser.find_element(By.CSS_SELECTOR, "select.slice"))
    assert {SCRIPT, QUOTED, spelt_out} <= {option.text for option in menu.options}
    told = set()
    for _ in range(len(table) * 3):
        browser.find_element(By.ID, "plot").send_keys(Keys.ARROW_RIGHT)
        told |= set(text(browser, "detail").split(" · "))
    assert {f"prompt {SCRIPT}", f"prompt {QUOTED}", f"topic: {spelt_out}"} <= told
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("spoil", ["two prompts", "states all alike", "modes all alike"])
def test_a_page_of_little_opens_and_says_so(
    browser: Driver, poor_run: Callable[[str], Run], spoil: str, tmp_path: Path
) -> None:
    run = poor_run(spoil)
    show(browser, written(to_html(analyse(run, permutations=9)), tmp_path))
    assert len(marks(browser)) == 3 * len(run.prompts)
    if spoil == "states all alike":
        assert text(browser, "quality") == NOTHING
    browser.find_element(By.ID, "centred").click()
    assert bool(text(browser, "quality"))
    assert browser.get_log("browser") == []


def test_the_picture_says_what_it_keeps_of_the_full_space(
    browser: Driver, page: Path, report: Report
) -> None:
    show(browser, page)
    raw = text(browser, "quality")
    for word in ("trustworthiness", "continuity", "same mode in 15 nearest", "Shepard", "variance explained"):
        assert word in raw
    assert f"silhouette: full {report.headline.leave_prompt_out.estimate:.2f}, here" in raw
    browser.find_element(By.ID, "centred").click()
    centred = text(browser, "quality")
    assert f"silhouette: full {report.headline.prompt_centred.estimate:.2f}, here" in centred


def test_intervals_are_drawn_to_one_scale(browser: Driver, page: Path, report: Report) -> None:
    show(browser, page)
    rows = browser.find_elements(By.CSS_SELECTOR, "#by-mode-table tbody tr")
    zeros, dots = ([], [])
    for row in rows:
        zeros.append(centre(row.find_element(By.CSS_SELECTOR, ".mark .zero")))
        dots.append(centre(row.find_element(By.CSS_SELECTOR, ".mark circle")))
    values = [
        float(row.find_elements(By.TAG_NAME, "td")[1].get_attribute("data-value") or "") for row in rows
    ]
    assert max(zeros) - min(zeros) < 1
    offsets = [dot - zeros[0] for dot in dots]
    strongest = max(range(len(values)), key=lambda i: abs(values[i]))
    unit = offsets[strongest] / values[strongest]
    assert offsets == pytest.approx([value * unit for value in values], abs=1.5)
    assert unit > 0


def centre(element: WebElement) -> float:
    x: float = element.rect["x"] + element.rect["width"] / 2
    return x


def test_prompts_text_is_there_only_when_asked(run: Run, report: Report, page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    longest = max(run.prompts["prompt"], key=len)
    assert longest not in html
    assert longest in to_html(analyse(run, permutations=9, text=True), explore=True)


def test_a_page_opens_within_three_seconds(browser: Driver, page: Path) -> None:
    begun = time.perf_counter()
    show(browser, page)
    assert time.perf_counter() - begun < 3
    assert page.stat().st_size < 8e6
