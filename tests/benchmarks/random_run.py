"""A run on disk of any size, from random states: python -m tests.benchmarks.random_run OUT [--prompts N] ...

Written by the capture's own writers (shards, head pass, manifest), so that everything after the run works on
it. Modes part from layer to layer; prompts come in topics and languages, the columns of its slices.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from margin.capture.head import Head
from margin.capture.headpass import head_pass
from margin.run.files import parquet_bytes, sha256_of, write_atomic
from margin.run.run import Run, open_run
from margin.run.shards import shard_path, write_shard
from tests.tiny_manifests import tiny_manifest

Array = np.ndarray[Any, Any]
MODES = ("pos", "neg", "rej")
TOPICS = ("trade", "health", "law", "code", "travel")
LANGUAGES = ("en", "zh", "de")
SHARD, TOP = 341, 20  # prompts of a shard; likeliest tokens kept of a row


def make_run(
    out: Path, prompts: int = 1000, layers: int = 30, width: int = 576, vocabulary: int = 49_152
) -> Run:
    """Write a run of `prompts` x 3 modes with `layers` captured layers and a random head; seeded."""
    rng = np.random.default_rng(0)
    n = prompts * len(MODES)
    weight = rng.standard_normal((vocabulary, width), dtype=np.float32) / np.sqrt(np.float32(width))
    head = Head(torch.from_numpy(weight), None)
    (out / "shards").mkdir(parents=True)
    ids = [f"p{i:05d}" for i in range(prompts)]
    about = {"topic": rng.choice(TOPICS, prompts), "language": rng.choice(LANGUAGES, prompts)}
    table = pd.DataFrame({"id": ids, "prompt": [f"question {i}" for i in range(prompts)], **about})
    rows = pd.DataFrame(
        {
            "row": range(n),
            "prompt_id": np.repeat(ids, len(MODES)),
            "condition": MODES * prompts,
            "kind": "mode",
            "mode": MODES * prompts,
            "draw": 0,
        }
    )
    write_atomic(out / "prompts.parquet", parquet_bytes(table))
    write_atomic(out / "rows.parquet", parquet_bytes(rows))
    _write_shards(out, head, prompts, layers, width, rng)
    shards = len(list((out / "shards").iterdir()))
    manifest = tiny_manifest(
        identity={
            "model": f"random states of {width}",
            "modes": [{"name": name, "safe": name != "neg", "fingerprint": "0000"} for name in MODES],
            "conditions": list(MODES),
            "layers": list(range(layers)),
            "save_logits": False,
            "seed": 0,
        },
        counts={
            "prompts": prompts,
            "modes": len(MODES),
            "rows": n,
            "shards": shards,
            "width": width,
            "vocabulary": vocabulary,
        },
        head={"scale": head.scale, "softcap": head.softcap},
    )
    manifest.write(out)
    head_pass(Run(out, manifest), head, np.repeat(np.arange(prompts), len(MODES)).tolist(), limit=1e-4)
    files = [path for path in out.rglob("*.*") if path.suffix in (".parquet", ".safetensors")]
    checksums = {path.relative_to(out).as_posix(): sha256_of(path) for path in sorted(files)}
    manifest.replace(files=checksums).write(out)
    return open_run(out)


def _write_shards(
    out: Path, head: Head, prompts: int, layers: int, width: int, rng: np.random.Generator
) -> None:
    """States of each layer: an offset all share, what the prompt brings, and modes that part with depth."""
    k = len(MODES)
    offset, effects = 3 * rng.standard_normal(width), rng.standard_normal((k, width))
    for index, start in enumerate(range(0, prompts, SHARD)):
        many = min(SHARD, prompts - start)
        gain, of_prompt = rng.gamma(4, 0.25, (many, 1, 1)), rng.standard_normal((many, 1, width))

        def states(depth: float, gain: Array = gain, of_prompt: Array = of_prompt) -> Array:
            noise = 0.5 * rng.standard_normal((len(gain), k, width))
            points = offset + of_prompt + 0.4 * depth**2 * gain * effects + noise
            return points.reshape(-1, width).astype(np.float32)

        part: dict[str, np.ndarray[Any, Any]] = {
            f"layer.{layer}": states(layer / layers).astype(np.float16) for layer in range(layers)
        }
        part["state"] = states(1)
        logits = torch.from_numpy(head(part["state"]))
        top = logits.topk(TOP)
        part |= {
            "row": np.arange(k * start, k * (start + many)),
            "topk_ids": top.indices.numpy().astype(np.int32),
            "topk_logits": top.values.numpy(),
            "logsumexp": logits.logsumexp(dim=1).numpy(),
        }
        write_shard(shard_path(out, index), part)


def main() -> None:
    parser = argparse.ArgumentParser(description="A run on disk of any size, from random states.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--width", type=int, default=576)
    parser.add_argument("--vocabulary", type=int, default=49_152)
    made = make_run(**vars(parser.parse_args()))
    size = sum(path.stat().st_size for path in made.path.rglob("*") if path.is_file())
    print(f"{made}, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
