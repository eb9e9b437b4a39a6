"""What a run keeps of a layer gives the margins of what the model computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from margin.analysis.margins import margins
from margin.analysis.space import Coordinates
from margin.capture.loop import Captured
from margin.run.shards import read_rows, write_shard
from margin.stats.design import make_design

N, K, WIDTH = 60, 3, 64
MODE = np.arange(N * K) % K
DESIGN = make_design(MODE, np.repeat(np.arange(N), K))


def states(shift: float) -> NDArray[np.float32]:
    """Rows of length about 8; each mode moves a prompt by `shift`, its noise is as large."""
    rng = np.random.default_rng(0)
    of_prompt = np.repeat(rng.standard_normal((N, WIDTH)), K, axis=0)
    directions = rng.standard_normal((K, WIDTH)) / 8
    noise = rng.standard_normal((N * K, WIDTH)) / 8
    return (of_prompt + shift * (directions[MODE] + noise)).astype(np.float32)


def stored(X: NDArray[np.float32], folder: Path) -> NDArray[np.float32]:
    """The states of a layer as a run gives them back: a shard a mode, as the loop cuts them."""
    paths = []
    for mode in range(K):
        rows = np.flatnonzero(mode == MODE)
        path = folder / f"{mode}.safetensors"
        write_shard(path, Captured(rows, {"layer.1": [X[rows]]}).arrays())
        paths.append(path)
    return read_rows(paths, "layer.1", len(X)).astype(np.float32, copy=False)


@pytest.mark.parametrize("shift", [1.0, 1e-2, 1e-3])
def test_margins_are_those_of_the_states_as_they_were_computed(shift: float, tmp_path: Path) -> None:
    """However little the modes move a prompt: half precision is a two-thousandth of a number."""
    X = states(shift)
    expected, found = (margins(Coordinates(points), DESIGN) for points in (X, stored(X, tmp_path)))
    rounded = margins(Coordinates(X.astype(np.float16).astype(np.float32)), DESIGN)
    for variant in ("plain", "leave_prompt_out", "prompt_centred"):
        value = getattr(expected, variant).estimate
        assert getattr(found, variant).estimate == pytest.approx(value, abs=1e-4)
    if shift < 0.01:  # what is tried here would show
        assert abs(rounded.prompt_centred.estimate - expected.prompt_centred.estimate) > 1e-2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_what_a_model_computes_in_16_bits_takes_16_bits(dtype: torch.dtype, tmp_path: Path) -> None:
    X = torch.from_numpy(states(1.0)).to(dtype).float().numpy()
    np.testing.assert_allclose(stored(X, tmp_path), X, rtol=0, atol=1e-7)
    bare = N * K * WIDTH * 2
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1.2 * bare


def test_what_half_precision_cannot_hold_is_kept_whole(tmp_path: Path) -> None:
    X = torch.from_numpy(states(1.0)).bfloat16().float().numpy() * np.float32(2**20)
    np.testing.assert_array_equal(stored(X, tmp_path), X)
