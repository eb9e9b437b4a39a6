"""The margin along the response is that of each position alone, over the prompts that reach it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import numpy as np
import pytest

from margin.analysis.positions import position_curve
from margin.analysis.sam import sam
from margin.analysis.space import Coordinates
from margin.errors import MarginError
from margin.inputs.modes import ModeSet
from margin.report.analyse import analyse
from margin.report.html import to_html
from margin.report.markdown import to_markdown
from margin.report.write import schema, to_json
from margin.stats.design import make_design
from tests.margin.population import population
from tests.margin.silhouette_oracle import pairwise, samples

if TYPE_CHECKING:
    from margin.capture.checkpoint import Checkpoint


def test_margins_are_those_of_each_position_alone() -> None:
    where, rng = population(), np.random.default_rng(0)
    design = where.design(where.prompts(30, rng))
    modes, ids = np.array(design.modes)[design.mode], np.array(design.prompt_ids)[design.prompt]
    points, spaces = [], []
    for position, n in ((1, 30), (2, 30), (4, 12)):  # 18 answers are over by then
        some = design.prompt >= 30 - n
        X = where.points(where.prompts(30, rng), 0.8, rng)[some]
        points.append((X, modes[some], ids[some]))
        spaces.append((position, Coordinates(X), make_design(modes[some], ids[some])))
    curve = position_curve(spaces, np.random.default_rng(0), "euclidean")

    assert curve.positions == (1, 2, 4)
    assert [estimate.n_prompts for estimate in curve.leave_prompt_out] == [30, 30, 12]
    for (X, of_mode, of_prompt), found in zip(points, curve.leave_prompt_out, strict=True):
        mode, prompt = (np.unique(labels, return_inverse=True)[1] for labels in (of_mode, of_prompt))
        direct = samples(pairwise(X, "euclidean"), mode, prompt).mean()
        assert found.estimate == pytest.approx(direct, abs=1e-9)
        alone = sam(X, of_mode, of_prompt, "euclidean")
        assert found.se == pytest.approx(alone.se)
        # All positions at once: wider than the interval of one.
        assert found.low is not None
        assert alone.low is not None
        assert found.low < alone.low
    with pytest.raises(MarginError, match="no response position"):
        position_curve([], np.random.default_rng(0))


def test_a_report_follows_the_response(
    make_checkpoint: Callable[..., Checkpoint], prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    from margin.capture.collect import collect

    run = collect(
        make_checkpoint(),
        prompts=prompts,
        modes=modes,
        out=tmp_path / "run",
        positions=3,
        decoys=0,
        quiet=True,
    )
    report = analyse(run, permutations=9)
    assert report.positions is not None
    assert report.positions.space == "logits"
    assert report.positions.positions == (1, 2, 3)
    first = report.positions.leave_prompt_out[0]
    assert first.estimate == pytest.approx(report.headline.leave_prompt_out.estimate, abs=1e-6)
    record = json.loads(to_json(report))
    jsonschema.validate(record, schema())
    assert [line["position"] for line in record["positions"]] == [1, 2, 3, 1, 2, 3]
    for text in (to_markdown(report), to_html(report)):
        assert "Along the response" in text
    assert report.figure("positions").axes[0].get_xlabel().startswith("response position")
