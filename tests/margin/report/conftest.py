"""One run of a tiny random model, shared by the tests of reports."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from margin.capture.collect import collect
from margin.inputs.modes import ModeSet
from margin.report.analyse import analyse
from margin.report.report import Report
from margin.run.run import Run

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
        make_checkpoint(), prompts=table, modes=modes, out=out, layers="all", save_logits=True, quiet=True
    )


@pytest.fixture(scope="session")
def report(run: Run) -> Report:
    return analyse(run, permutations=99)
