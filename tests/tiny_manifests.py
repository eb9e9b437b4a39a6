"""Manifests for tests that need little of one."""

from __future__ import annotations

from typing import Any

from margin.run.manifest import Manifest

LEAST: dict[str, Any] = {
    "model": "tiny",
    "modes": [],
    "conditions": [],
    "layers": [],
    "save_logits": False,
    "seed": 0,
}
"""The least an identity says."""


def tiny_manifest(identity: dict[str, Any], **parts: Any) -> Manifest:
    """A manifest as it is read from a record of these parts, with the least of all else."""
    record = {"environment": {}, "tail": "", "counts": {"rows": 0}, **parts}
    return Manifest.from_dict({**record, "identity": LEAST | identity}, "tiny")
