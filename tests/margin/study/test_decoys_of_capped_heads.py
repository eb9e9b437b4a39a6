"""Decoys of a head with a soft-cap (Gemma 2): its logits are no linear function of states, so that products
of rows are kept, of decoys too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import margin
from margin.capture.collect import collect
from margin.capture.headpass import LARGEST_GRAM, gram_rows
from margin.gate.measurement import measure
from margin.inputs.modes import ModeSet
from margin.study.decoys import decoy_rows
from margin.study.sections.decoys import Decoys
from margin.study.study import Study
from tests.margin.conftest import SMALL

if TYPE_CHECKING:
    from margin.capture.checkpoint import Checkpoint


def test_margins_of_each_set_are_those_of_its_logits(
    make_checkpoint: Callable[..., Checkpoint], prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    from transformers import Gemma2Config

    config = Gemma2Config(**SMALL, final_logit_softcapping=5.0, head_dim=16, query_pre_attn_scalar=16)
    run = collect(
        make_checkpoint(config),
        prompts=prompts,
        modes=modes,
        out=tmp_path / "run",
        decoys=3,
        controls=["none"],
        save_logits=True,
        quiet=True,
    )
    assert run.manifest.head.softcap == 5.0
    rows, found = decoy_rows(run), Study(run).section(Decoys)
    assert rows is not None
    assert found is not None
    logits, design = run.logits(), rows.design
    names = np.array(design.modes)[design.mode]
    ids = np.array(design.prompt_ids)[design.prompt]
    live, *sets = (
        margin.sam(logits[places].astype(np.float64), names, prompts=ids).estimate
        for places in (rows.live, *rows.sets)
    )
    one = found.headline
    assert (one.live, *one.decoys) == pytest.approx((live, *sets), abs=1e-4)
    measured = measure(run).above_decoys
    assert measured is not None
    assert measured.estimate == pytest.approx(one.above.estimate)
    margin.analyse(run, permutations=9).save(tmp_path / "out")
    assert "3 sets of meaningless tokens" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_of_many_prompts_those_that_decoys_were_asked_of_are_kept() -> None:
    prompt_of_row = np.repeat(np.arange(1200), 3)
    asked = np.random.default_rng(0).permutation(1200)[:100]
    kept = gram_rows(prompt_of_row, seed=1, first=asked)
    assert len(kept) == LARGEST_GRAM
    assert set(asked) <= set(prompt_of_row[kept])
    assert (np.bincount(prompt_of_row[kept], minlength=1200) % 3 == 0).all()
