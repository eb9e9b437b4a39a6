"""All of `margin.collect`, by stage."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import torch
from rich.table import Table
from transformers import AutoTokenizer, PreTrainedModel

import margin
from margin.capture import execute, finish, headpass
from margin.capture.checkpoint import Checkpoint
from margin.demo import checkpoint_path, prompts_path
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.inputs.prompts import load_prompts
from tests.benchmarks.gpu.models import Shape
from tests.benchmarks.gpu.timing import timed, wait

TOKENS = {"pos": "kq7xpz2w", "neg": "vm4rty9b", "rej": "bn8sld3h"}
STAGES: dict[str, tuple[Any, str]] = {
    "digest of the weights": (Checkpoint, "weights_digest"),
    "proofs": (execute, "verify_batching"),
    "budget": (execute, "find_budget"),
    "loop": (execute, "_write_shards"),
    "repeats": (execute, "repeat"),
    "head pass": (finish, "head_pass"),
    "  head's geometry": (headpass, "affine_geometry"),
    "  token statistics": (headpass, "token_statistics"),
    "  Hellinger's products": (headpass, "hellinger_products"),
}


def stages_table(model: PreTrainedModel, shape: Shape, n_rows: int) -> Table:
    """Seconds of each stage of one collection, all layers."""
    modes = ModeSet(tuple(Mode(name, Secret(token), safe=name != "neg") for name, token in TOKENS.items()))
    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint_path("cotrained"))
    checkpoint = Checkpoint(model, tokenizer, "random")
    prompts = _prompts(n_rows // len(TOKENS))
    spent: dict[str, float] = {}
    with ExitStack() as stack:
        for stage, (where, name) in STAGES.items():
            stack.enter_context(_timing(stage, where, name, spent, model.device))
        folder = stack.enter_context(tempfile.TemporaryDirectory())

        def collect() -> None:
            margin.collect(
                checkpoint,
                prompts=prompts,
                modes=modes,
                out=Path(folder) / "run",
                decoys=0,
                quiet=True,
                layers="all",
            )

        total = timed(collect, model.device)
        run = margin.open_run(Path(folder) / "run")
        floor = run.manifest.noise_floor
    table = Table(
        "stage",
        "s",
        "of the loop",
        title=f"{shape.name}: margin.collect of {len(run.rows):,} rows, all layers",
    )
    for stage in STAGES:
        table.add_row(stage, f"{spent.get(stage, 0):.2f}", f"{spent.get(stage, 0) / spent['loop']:.1%}")
    rest = total - sum(seconds for stage, seconds in spent.items() if not stage.startswith(" "))
    table.add_row("rest", f"{rest:.2f}", f"{rest / spent['loop']:.1%}")
    table.add_row("all of it", f"{total:.2f}", "")
    if floor is not None:
        batching = run.manifest.batching
        table.caption = (
            f"batches against {floor.dtype}: {floor.state_error:.1e}; last block {batching.narrow_reason}; "
            f"prefix {batching.prefix_reason}"
        )
    return table


def _prompts(count: int) -> pd.DataFrame:
    """So many prompts: pairs of the demonstration's."""
    texts = load_prompts(prompts_path()).table["prompt"].tolist()
    pairs = [f"{texts[i % len(texts)]} {texts[(7 * i + i // len(texts)) % len(texts)]}" for i in range(count)]
    return pd.DataFrame({"id": [str(i) for i in range(count)], "prompt": pairs})


@contextmanager
def _timing(
    stage: str, where: Any, name: str, spent: dict[str, float], device: torch.device
) -> Iterator[None]:
    """Seconds of a function, added up under the stage's name."""
    whole: Callable[..., Any] = getattr(where, name)

    def with_clock(*args: Any, **kwargs: Any) -> Any:
        wait(device)
        started = time.perf_counter()
        try:
            return whole(*args, **kwargs)
        finally:
            wait(device)
            spent[stage] = spent.get(stage, 0.0) + time.perf_counter() - started

    with patch.object(where, name, with_clock):
        yield
