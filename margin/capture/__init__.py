"""The only room that knows torch and transformers: checkpoint in, run directory out."""

import warnings

from margin.extras import require

require("collect", "running a model")  # here, since whatever enters this room needs them

with warnings.catch_warnings():  # of ipywidgets, which bars of loading in a notebook do without
    warnings.filterwarnings("ignore", "IProgress not found")
    import tqdm.auto  # noqa: F401

from margin.capture.interventions import Add, Cut, ProjectOut, Replace, patching  # noqa: E402

__all__ = ["Add", "Cut", "ProjectOut", "Replace", "patching"]
