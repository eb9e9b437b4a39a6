"""The only room that knows torch and transformers: checkpoint in, run directory out."""

from margin.extras import require

require("collect", "running a model")  # here, since whatever enters this room needs them

from margin.capture.interventions import Add, Cut, ProjectOut, Replace, patching  # noqa: E402

__all__ = ["Add", "Cut", "ProjectOut", "Replace", "patching"]
