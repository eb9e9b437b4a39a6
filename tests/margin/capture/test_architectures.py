"""Whatever the architecture, a run holds what the plain forward pass of one row gives, or is refused.

A sample of each family; `python -m tests.benchmarks.architectures` tries every type that transformers ships.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from transformers import CONFIG_MAPPING

from margin.capture.checkpoint import Checkpoint
from margin.errors import MarginError
from tests.tiny_models import collect_few, compare, outcome_of, rows_of, tiny_checkpoint

FAMILIES = {
    "dense": ["llama", "qwen3", "gpt_neox", "phi", "olmo2"],
    "dense, cache of another form": ["gpt2", "opt", "bloom", "falcon", "openai-gpt"],
    "sliding window or chunks": ["mistral", "gemma3_text", "cohere2", "llama4_text"],
    "scaled or capped head": ["gemma2", "granite"],
    "experts": ["mixtral", "qwen3_moe", "gpt_oss"],
    "latent attention": ["deepseek_v2", "deepseek_v3"],
    "sparse attention": ["deepseek_v32"],
    "recurrent": ["mamba", "mamba2", "rwkv", "recurrent_gemma"],
    "hybrid": ["jamba", "falcon_h1", "bamba", "kimi_linear", "qwen3_next"],
    "text decoder of several modalities": ["gemma3"],
    "looks ahead": ["bert"],
}


@pytest.mark.parametrize("name", [name for names in FAMILIES.values() for name in names])
def test_a_run_equals_the_plain_forward_pass(name: str, tmp_path: Path) -> None:
    if name not in CONFIG_MAPPING:
        pytest.skip("not in this release of transformers")
    checkpoint = tiny_checkpoint(name)
    run = collect_few(checkpoint, tmp_path / "run", "all")
    rows = rows_of(checkpoint)
    found = compare(run, checkpoint.model, rows)

    compared = {"logits", "top-k", "logsumexp", "layer.1", "layer.2", "layer.3"}
    assert compared <= found.keys()
    assert max(found.values()) < 1e-4
    plain = plain_logits(checkpoint, rows)
    if run.manifest.head.softcap is None:
        gram = run.logit_geometry().gram("logits")
        norms = np.diag(gram)
        distances = np.sqrt(np.maximum(norms[:, None] + norms - 2 * gram, 0))
        assert np.allclose(distances, cdist(plain, plain), rtol=1e-3, atol=1e-3 * distances.max())


def plain_logits(checkpoint: Checkpoint, rows: Sequence[Sequence[int]]) -> np.ndarray:
    with torch.no_grad():
        logits = [checkpoint.model(input_ids=torch.tensor([list(ids)])).logits[0, -1] for ids in rows]
    return torch.stack(logits).double().numpy()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("deepseek_v4", "layer 0 is no state for each row and token"),  # several residual streams
        ("cpmant", "layer 0 is no state for each row and token"),  # puts tokens of its own before a row's
        ("longcat_flash", "keeps no list of 8 blocks"),
        ("xlm", "gives layer 1, 2, 3 as another state"),  # a block's parts in lists of their own
    ],
)
def test_layers_that_cannot_be_tapped_are_refused_and_the_rest_is_right(
    name: str, said: str, tmp_path: Path
) -> None:
    checkpoint = tiny_checkpoint(name)
    for layers in ("all", "last"):
        with pytest.raises(MarginError, match=f'{said}.*collect with layers "none"$'):
            collect_few(checkpoint, tmp_path / layers, layers)
    run = collect_few(checkpoint, tmp_path / "none", "none")
    assert max(compare(run, checkpoint.model, rows_of(checkpoint)).values()) < 1e-4


def test_what_keeps_no_state_for_each_token_is_refused() -> None:
    outcome = outcome_of("prophetnet")
    assert outcome.kind == "refused"
    assert "this architecture is not supported" in outcome.words
