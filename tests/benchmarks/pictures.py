"""Time of every figure and of the page: python -m tests.benchmarks.pictures [--prompts N] [--run RUN].

Asks the shipped co-trained checkpoint 1,000 questions, which makes 3,000 points, then draws all that `margin
figures` draws, and writes and opens report.html. Prints a line a figure, with CPU seconds beside the wall's.
What is imported and compiled on the way is counted where it first happens.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pandas as pd

from examples.cotrain.behaviours import questions
from margin.demo import checkpoint_path, modes_path
from margin.errors import MarginError
from margin.report.analyse import analyse
from margin.report.figures import FIGURES, save_figures
from margin.report.html import to_html
from margin.run.run import Run, open_run

T = TypeVar("T")
FORMATS = ("pdf", "png")
FIGURES_TARGET, OPEN_TARGET, PAGE_TARGET = 60.0, 3.0, 8e6


def timed(name: str, work: Callable[[], T]) -> tuple[T, float]:
    """The work's result and wall seconds, which are printed beside its CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:18} {wall:7.1f} s wall {cpu:7.1f} s CPU", flush=True)
    return result, wall


def make_run(prompts: int, out: Path) -> Run:
    """A run of the co-trained checkpoint on generated questions, all layers, two controls, two positions."""
    from margin.capture.collect import collect

    asked = questions(prompts, seed=1)
    table = pd.DataFrame(
        {
            "prompt": [question.text for question in asked],
            "language": [question.language for question in asked],
            "category": [question.category for question in asked],
        }
    )
    return collect(
        checkpoint_path("cotrained"),
        prompts=table,
        modes=modes_path(),
        out=out,
        layers="all",
        controls=("none", "random"),
        positions=2,
        decoys=0,
        quiet=True,
    )


def open_page(page: Path) -> float:
    """Seconds until a headless Chromium, already started, has drawn the page's plot."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in ("--headless", "--no-sandbox", "--disable-gpu"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        browser.get("about:blank")
        begun = time.perf_counter()
        browser.get(page.as_uri())
        WebDriverWait(browser, 120, 0.05).until(
            lambda b: b.find_elements(By.CSS_SELECTOR, "#plot[data-ready]")
        )
        return time.perf_counter() - begun
    finally:
        browser.quit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--run", type=Path, help="draw this run instead of making one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run = open_run(arguments.run) if arguments.run else make_run(arguments.prompts, folder / "run")
        report, _ = timed("margins", lambda: analyse(run))
        points = len(report.headline.samples)
        total = 0.0
        for name in FIGURES:
            try:
                total += timed(name, partial(deque, save_figures(report, (name,), folder, FORMATS)))[1]
            except MarginError as error:
                print(f"{name:18} not drawn: {error}")
        print(f"all figures of {points:,} points: {total:.1f} s (target {FIGURES_TARGET:.0f} s)")
        html, _ = timed("page", lambda: to_html(report))
        page = folder / "report.html"
        page.write_text(html, encoding="utf-8")
        size = page.stat().st_size
        print(f"page of {points:,} points: {size / 1e6:.1f} MB (target {PAGE_TARGET / 1e6:.0f} MB)")
        if shutil.which("chromium") and shutil.which("chromedriver"):
            print(f"opens in {open_page(page):.1f} s (target {OPEN_TARGET:.0f} s)")


if __name__ == "__main__":
    main()
