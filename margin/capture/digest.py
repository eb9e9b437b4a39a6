"""What tells a model's weights from any others: a digest over every one of them."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor
from transformers import PreTrainedModel

from margin.capture.placement import whole_tensors

THREADS = min(8, os.cpu_count() or 1)
"""Tensors that are read at once; twice as many are waited for at most."""


def weights_digest(model: PreTrainedModel) -> str:
    """SHA-256 over all weights and buffers in the order of their names: name, dtype, shape and the SHA-256 of
    the bytes. Reads every weight once, one that goes by two names too.
    """
    digest = hashlib.sha256()
    for name, tensor, bytes_of_it in _digests(whole_tensors(model)):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {bytes_of_it}\n".encode())
    return digest.hexdigest()


def _digests(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor, str]]:
    """Each tensor with the digest of its bytes, in order."""
    waiting: deque[tuple[str, Tensor, Future[str]]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for name, tensor in tensors:
            if len(waiting) == 2 * THREADS:
                yield _done(*waiting.popleft())
            waiting.append((name, tensor, pool.submit(_of_bytes, tensor)))
        while waiting:
            yield _done(*waiting.popleft())


def _done(name: str, tensor: Tensor, digest: Future[str]) -> tuple[str, Tensor, str]:
    return name, tensor, digest.result()


def _of_bytes(tensor: Tensor) -> str:
    with torch.inference_mode():
        there = tensor.cpu().contiguous().flatten().view(torch.uint8)
        return hashlib.sha256(there.numpy().data).hexdigest()
