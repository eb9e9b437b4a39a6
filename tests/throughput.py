"""What a run says of its speed, for tests of runs that measured it."""

from __future__ import annotations

from margin.run.manifest import Manifest
from margin.run.records import Throughput


def throughput(manifest: Manifest) -> Throughput:
    """The throughput of a run that was collected whole."""
    assert manifest.throughput is not None
    return manifest.throughput


def tokens_run(manifest: Manifest) -> int:
    """Tokens that went through the model."""
    found = throughput(manifest).tokens
    assert found is not None
    return found
