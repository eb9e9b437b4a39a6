"""The only room that knows torch and transformers: checkpoint in, run directory out."""
