"""Take the pictures of the report's page that the documentation explains, with a number on each of its parts.

python examples/page.py [FOLDER]

Needs chromium with chromedriver, and selenium. The page is that of the shipped demonstration checkpoint.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

import margin
from margin.commands.demo import collect_demo

PARTS: Mapping[str, tuple[str, ...]] = {
    "page": (".verdict", ".facts", "#summary nav", "#modes", "#quality", "#plot"),
    "page-margins": ("#by-mode-table thead", "#by-mode-table .drawn"),
    "page-outcomes": ("#outcomes-table thead", "#outcomes-table .flagged"),
}
"""By picture: what gets a number in it, in the order of the numbers, as CSS selects it."""
WIDTH, HEIGHT = 1280, 1850
"""Pixels of the window."""
SHOWN = 1000
"""Pixels across of a picture in the documentation."""
SCROLL = """
const section = document.querySelector(arguments[0]).closest("section"), at = section.getBoundingClientRect();
if (section.id == "summary") return innerHeight;
scrollTo(0, at.top + scrollY - 6);
return Math.min(at.height + 12, innerHeight);
"""
NUMBER = """
const [selector, number] = arguments, at = document.querySelector(selector).getBoundingClientRect();
const badge = Object.assign(document.createElement("b"), {textContent: number});
badge.style.cssText = `position: absolute; z-index: 9; left: ${at.left + scrollX - 36}px;
  top: ${at.top + scrollY - 4}px; width: 30px; height: 30px; border-radius: 50%; background: #b3261e;
  color: white; font: bold 18px/30px sans-serif; text-align: center; box-shadow: 0 0 0 2px white;`;
document.body.append(badge);
"""


def take(folder: Path) -> list[Path]:
    """Make the page of the demonstration and take its pictures into `folder`; the paths written."""
    with tempfile.TemporaryDirectory() as temporary:
        run = collect_demo("cotrained", Path(temporary) / "run")
        page = margin.analyse(run).save(Path(temporary) / "report")[-1]
        return photograph(page, folder)


def photograph(page: Path, folder: Path) -> list[Path]:
    """Take the pictures of a page; the paths written."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--window-size={WIDTH},{HEIGHT}",
    ):
        options.add_argument(flag)
    with webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver"))) as browser:
        browser.get(page.as_uri())
        WebDriverWait(browser, 60).until(lambda b: b.find_elements(By.CSS_SELECTOR, "#plot[data-ready]"))
        browser.execute_script("document.body.style.paddingLeft = '44px'")  # room for the numbers
        number, taken = 0, []
        for name, parts in PARTS.items():
            height = browser.execute_script(SCROLL, parts[0])
            for selector in parts:
                number += 1
                browser.execute_script(NUMBER, selector, number)
            taken.append(saved(browser.get_screenshot_as_png(), height, folder / f"{name}.webp"))
        return taken


def saved(png: bytes, height: float, path: Path) -> Path:
    """A screenshot, down to a height, as a small file."""
    with Image.open(io.BytesIO(png)) as image:
        part = image.convert("RGB").crop((0, 0, image.width, round(height)))
        small = part.resize((SHOWN, part.height * SHOWN // part.width))
        small.save(path, quality=80, method=6)
    return path


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("gallery")
    for path in take(place):
        print(path)
