"""What a run will cost is known before it starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect, plan
from margin.capture.cost import Cost, Pace, cost_of, paced
from margin.capture.plan import BATCH_COST, Batch
from margin.errors import MarginError
from margin.inputs.modes import ModeSet
from margin.inputs.options import CaptureOptions
from margin.run.shards import shard_path

MakeCheckpoint = Callable[..., Checkpoint]


def test_the_plan_is_what_collecting_then_does(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint()
    asked: dict[str, Any] = {"prompts": prompts, "modes": modes, "out": tmp_path / "run"}
    options: dict[str, Any] = {"layers": "all", "controls": ["none"], "decoys": 2, "shard_rows": 16}
    cost = plan(checkpoint, **asked, **options)
    assert not (tmp_path / "run").exists()
    run = collect(checkpoint, quiet=True, **asked, **options)
    assert cost.rows == len(run.rows)
    assert cost.prompts == len(prompts)
    assert cost.conditions == len(run.manifest.identity.conditions)
    assert (speed := run.manifest.throughput) is not None
    assert speed.tokens is not None
    assert cost.tokens <= speed.tokens  # shared prefixes are run once, and counted there
    assert cost.seconds > 0
    written = sum(path.stat().st_size for path in (tmp_path / "run" / "shards").iterdir())
    assert cost.bytes <= written * 1.01

    shard_path(tmp_path / "run", 0).unlink()
    assert plan(checkpoint, **asked, **options).rows == 16
    assert not shard_path(tmp_path / "run", 0).exists()


def test_positions_take_room_and_answers_take_passes(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    manifest = collect(
        make_checkpoint(), prompts=prompts[:4], modes=modes, out=tmp_path / "run", decoys=0, quiet=True
    ).manifest
    batches, lengths, pace = [Batch((0, 1), "pos", 3)], [10, 9], Pace(work=1, seconds=1)

    def cost(**options: Any) -> Cost:
        return cost_of(manifest, CaptureOptions(**options), batches, lengths, pace)

    assert cost().tokens == 13
    assert cost().seconds == 13 + BATCH_COST
    assert cost(generate=5).seconds == 13 + BATCH_COST + 19 + 5 * (2 + BATCH_COST)
    assert cost(positions=3).bytes - cost().bytes == 2 * 2 * 4 * manifest.counts.width


def test_a_run_that_the_disk_has_no_room_for_is_refused(tmp_path: Path) -> None:
    large = Cost(rows=1, prompts=1, conditions=1, tokens=1, seconds=0.0, bytes=10**18)
    with pytest.raises(MarginError, match=r"takes about 1\.0 EB and the disk has .* free: keep fewer layers"):
        large.require_room(tmp_path / "not" / "yet")


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 second"), (40, "40 seconds"), (840, "14 minutes"), (3 * 86_400, "3 days")]
)
def test_the_time_is_said_as_people_do(seconds: float, said: str) -> None:
    cost = Cost(rows=2, prompts=2, conditions=1, tokens=9, seconds=seconds, bytes=0)
    assert f"about {said}," in str(cost)


def test_a_pace_is_taken_of_all_passes_but_the_first_and_leaves_no_hook() -> None:
    model = nn.Embedding(8, 2)
    named = type("Named", (nn.Module,), {"forward": lambda self, input_ids: model(input_ids)})()
    with paced(named) as pace:
        for _ in range(3):
            named(input_ids=torch.zeros(1, 5, dtype=torch.long))
    assert pace.of(2 * pace.work) == pytest.approx(2 * pace.seconds)
    assert pace.seconds > 0
    assert not named._forward_hooks
    assert not named._forward_pre_hooks


def test_a_model_that_is_not_there_leaves_no_folder(
    prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    for there in (False, True):
        out = tmp_path / "run"
        if there:
            out.mkdir()
        with pytest.raises(MarginError, match="nowhere"):
            collect(tmp_path / "nowhere", prompts=prompts, modes=modes, out=out, quiet=True)
        assert out.exists() == there
