"""The only room that knows torch and transformers: checkpoint in, run directory out."""

from margin.extras import require

require("collect", "running a model")  # here, since whatever enters this room needs them
