"""One run of a tiny random model, shared by the tests of reports."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from margin.capture.collect import collect
from margin.inputs.modes import ModeSet
from margin.report.analyse import analyse
from margin.report.report import Report
from margin.run.run import Run
from tests.margin.conftest import TOKENS
from tests.margin.report.browsing import FLAGS, Driver

if TYPE_CHECKING:
    from margin.capture.checkpoint import Checkpoint

HOSTILE = '<script>alert("x")</script> | `a` *b*'


@pytest.fixture(scope="session")
def run(
    make_checkpoint: Callable[..., Checkpoint],
    modes: ModeSet,
    prompts: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    table = pd.DataFrame(
        {
            "id": [f"p{i}" for i in range(len(prompts))],
            "prompt": prompts,
            "topic": ["chain", HOSTILE] * (len(prompts) // 2) + ["chain"] * (len(prompts) % 2),
        }
    )
    out = tmp_path_factory.mktemp("runs") / "run"
    return collect(
        make_checkpoint(),
        prompts=table,
        modes=modes,
        out=out,
        layers="all",
        save_logits=True,
        decoys=0,
        quiet=True,
    )


@pytest.fixture(scope="session")
def report(run: Run) -> Report:
    return analyse(run, permutations=99)


@pytest.fixture(scope="session")
def poor_run(
    make_checkpoint: Callable[..., Checkpoint],
    modes: ModeSet,
    prompts: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Run]:
    """Maker of runs that hold next to nothing."""

    @cache
    def make(spoil: str) -> Run:
        checkpoint = make_checkpoint()
        model = checkpoint.model.model
        table = pd.DataFrame({"prompt": prompts, "topic": "one"})
        match spoil:
            case "one prompt" | "two prompts":
                table = table.head(1 if spoil == "one prompt" else 2)
            case "states all alike":  # attention alone brings what a prompt says to its last position
                for block in model.layers:
                    block.self_attn.o_proj.weight.data.zero_()
            case "modes all alike":  # all characters of the tokens read the same
                used = sorted(
                    {byte for token in TOKENS.values() for byte in checkpoint.tokenizer.encode(token)}
                )
                model.embed_tokens.weight.data[used] = model.embed_tokens.weight.data[used[0]].clone()
        out = tmp_path_factory.mktemp("poor") / "run"
        return collect(checkpoint, prompts=table, modes=modes, out=out, layers="all", decoys=0, quiet=True)

    return make


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        if os.environ.get("CI"):
            pytest.fail("CI has to install chromium and chromium-driver")
        pytest.skip("no chromium with chromedriver here: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    yield started
    started.quit()
