"""Nothing on the page lies over something else or is cut without a sign: measured in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from margin.capture.collect import collect
from margin.demo import checkpoint_path, modes_path
from margin.report.analyse import analyse
from margin.report.html import to_html
from margin.run.run import Run
from tests.margin.report.browsing import Driver, show, text, written

WIDTHS = (360, 800, 1280, 1920)
UPRIGHT, ACROSS = 703, 1032
"""Width of a sheet of A4 within its margins, in pixels of CSS."""
SHEET = 1016
"""Its height."""
LONG = "a-name-that-has-no-place-to-break-and-goes-on-and-on"
CHINESE = "关于城市交通与公共服务的一个相当长的类别名称"

FAULTS = (Path(__file__).parent / "faults.js").read_text(encoding="utf-8")
"""What lies over something else, leaves its box or is cut without a sign, in words."""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of all controls and attacks, 18 slices of a column, long names, two scripts, and answers."""
    names = [f"{CHINESE} {i}" if i % 2 else f"{LONG}-{i}" for i in range(18)]
    table = pd.DataFrame(
        {
            "id": [f"{'prompt' if i % 3 else LONG}-{i}" for i in range(36)],
            "prompt": [
                f"第{i}个问题:我怎样才能修好一条总是打滑的自行车链条?"
                if i % 2
                else f"How do I mend chain {i}? " * (1 + i % 5)
                for i in range(36)
            ],
            "a column of long names": [names[i % 18] for i in range(36)],
            "language": ["zh" if i % 2 else "en" for i in range(36)],
        }
    )
    return collect(
        checkpoint_path("cotrained"),
        prompts=table,
        modes=modes_path(),
        controls=["none", "random", "near-miss", "user-turn"],
        attacks="shipped",
        layers="all",
        decoys=2,
        decoy_prompts=12,
        generate=4,
        noise_prompts=0,
        out=tmp_path_factory.mktemp("many") / "run",
        quiet=True,
    )


@pytest.fixture(scope="module")
def pages(run: Run, many: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of 3 conditions, and one of 33 with text and all that `--explore` adds."""
    return {
        "few": written(to_html(analyse(run, permutations=9)), tmp_path_factory.mktemp("few")),
        "many": written(
            to_html(analyse(many, permutations=9, text=True), explore=True), tmp_path_factory.mktemp("many")
        ),
    }


def resize(browser: Driver, width: int, media: str = "screen") -> None:
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media})
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": media == "print"})
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(() => arguments[0]()))")


@pytest.fixture
def restored(browser: Driver) -> Any:
    yield
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": False})


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("kind", ["few", "many"])
def test_nothing_overlaps_or_is_cut_at_any_width(browser: Driver, pages: dict[str, Path], kind: str) -> None:
    show(browser, pages[kind])
    for theme in ("light", "dark"):
        browser.execute_script("setTheme(arguments[0])", theme)
        for width in WIDTHS:
            resize(browser, width)
            assert browser.execute_script(FAULTS) == [], f"{kind}, {theme}, {width} px"


@pytest.mark.usefixtures("restored")
def test_the_measure_sees_an_overlap_and_a_cut(browser: Driver, pages: dict[str, Path]) -> None:
    show(browser, pages["few"])
    resize(browser, 1280)
    for css in (
        "#by-mode-table td.number { max-width: 4rem; }",
        "#by-mode-table .drawn { display: block; } #by-mode-table .mark { margin-right: -9rem; }",
        ".facts > div { margin-right: -4rem; }",
        "h2 { width: 3000px; }",
    ):
        browser.execute_script(
            "const made = document.createElement('style'); made.id = 'broken';"
            "made.textContent = arguments[0]; document.head.append(made);",
            css,
        )
        assert browser.execute_script(FAULTS), css
        browser.execute_script("document.getElementById('broken').remove()")
    assert browser.execute_script(FAULTS) == []


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("kind", ["few", "many"])
def test_print_keeps_to_its_sheets(browser: Driver, pages: dict[str, Path], kind: str) -> None:
    show(browser, pages[kind])
    resize(browser, UPRIGHT, "print")
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    # The plot is on the first sheet, and what repeats a table's head on each is in force.
    assert (
        browser.execute_script("return document.getElementById('plot').getBoundingClientRect().bottom")
        < SHEET
    )
    heads = browser.execute_script(
        "return [...document.querySelectorAll('table.sortable thead')].map((head) =>"
        " getComputedStyle(head).display + getComputedStyle(head.querySelector('button')).display)"
    )
    assert set(heads) == {"table-header-groupcontents"}
    for width, sections in ((UPRIGHT, "section:not(.across)"), (ACROSS, "section.across")):
        resize(browser, width, "print")
        wide, narrow = browser.execute_script(
            """
            const tables = [...document.querySelectorAll(arguments[0] + " table.sortable")];
            const cells = tables.flatMap((table) => [...table.querySelectorAll("td.text")]);
            const width = (element) => element.getBoundingClientRect().width;
            return [tables.filter((table) => width(table) > arguments[1] + 1).map((table) => table.id),
              cells.filter((cell) => width(cell) < 150 && cell.offsetParent).length];
            """,
            sections,
            width,
        )
        assert (wide, narrow) == ([], 0)


def test_each_sentence_of_the_verdict_leads_to_its_table(browser: Driver, pages: dict[str, Path]) -> None:
    for kind, page in pages.items():
        show(browser, page)
        links = browser.find_elements(By.CSS_SELECTOR, ".verdict a")
        assert len(links) == {"few": 0, "many": 3}[kind]  # the first has no controls
        for link in links:
            place = (link.get_attribute("href") or "").partition("#")[2]
            assert browser.find_elements(By.CSS_SELECTOR, f"section h2[id='{place}']")
        assert all(mark.text for mark in browser.find_elements(By.CSS_SELECTOR, ".verdict .status"))


@pytest.mark.usefixtures("restored")
def test_the_prompt_stands_second_and_stays_in_sight(browser: Driver, pages: dict[str, Path]) -> None:
    show(browser, pages["many"])
    resize(browser, 1280)
    cell = browser.find_element(By.CSS_SELECTOR, "#prompts-table tbody tr td:nth-child(2)")
    assert cell.text.startswith(("How do I", "第"))
    assert cell.rect["width"] >= 250
    browser.execute_script("document.querySelector('#prompts-table').closest('.scroll').scrollLeft = 5000")
    frame = browser.find_element(By.ID, "prompts-table").find_element(By.XPATH, "ancestor::div[2]")
    assert abs(cell.rect["x"] - frame.rect["x"]) < 3


def test_long_tables_are_filtered(browser: Driver, pages: dict[str, Path]) -> None:
    show(browser, pages["many"])
    section = browser.find_element(By.ID, "landing-slices").find_element(By.XPATH, "..")
    section.find_element(By.CSS_SELECTOR, "input.filter").send_keys("near-miss zh")
    rows = [row for row in section.find_elements(By.CSS_SELECTOR, "tbody tr") if row.is_displayed()]
    assert rows
    assert all("near-miss" in row.text and "zh" in row.text for row in rows)
    assert section.find_element(By.TAG_NAME, "output").text.startswith(f"{len(rows)} of ")


def test_the_plot_is_searched_and_show_all_undoes_everything(browser: Driver, pages: dict[str, Path]) -> None:
    show(browser, pages["many"])
    whole = text(browser, "view")
    browser.find_element(By.ID, "seek").send_keys("修好")
    assert f"{18 * 3} of {36 * 3} points" in text(browser, "view")
    browser.find_element(By.ID, "layer").send_keys(Keys.ARROW_LEFT)
    browser.find_element(By.ID, "centred").click()
    assert text(browser, "view") != whole
    browser.find_element(By.ID, "reset").click()
    assert text(browser, "view") == whole
    assert browser.get_log("browser") == []


def test_a_count_lists_its_rows(browser: Driver, pages: dict[str, Path], many: Run) -> None:
    show(browser, pages["many"])
    button = browser.find_element(By.CSS_SELECTOR, "#outcomes-table td.flagged button")
    row = button.find_element(By.XPATH, "ancestor::tr")
    condition, count = row.find_element(By.TAG_NAME, "td").text, int(button.text.split()[-1])
    browser.execute_script("arguments[0].click()", button)
    listed = browser.find_elements(By.CSS_SELECTOR, "#rows tbody tr")
    assert len(listed) == count
    assert text(browser, "rows-title").startswith(condition)
    shown = {line.find_element(By.TAG_NAME, "td").text for line in listed}
    assert shown <= set(many.prompts["id"])
    assert any(word in listed[0].text for word in ("How do I", "自行车"))


def test_a_page_for_others_does_not_tell_which_rows_came_out_otherwise(many: Run, tmp_path: Path) -> None:
    html = to_html(analyse(many, permutations=9))
    table = html[html.index('id="outcomes-table"') :].partition("</table>")[0]
    assert "flagged" in table
    assert "data-rows" not in html.partition("<script")[0]
    assert "How do I mend" not in html
