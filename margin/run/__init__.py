"""The run on disk: manifest, shards, opening, verifying."""

from margin.run.geometry import LogitGeometry, LogitSpace
from margin.run.manifest import Manifest
from margin.run.run import Run, open_run

__all__ = ["LogitGeometry", "LogitSpace", "Manifest", "Run", "open_run"]
