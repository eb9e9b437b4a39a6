"""From a checkpoint and its run to trace.json: the rows again, patched, cut and steered."""
