"""The measuring, start to end: modes, prompts, capture, margin, report."""
