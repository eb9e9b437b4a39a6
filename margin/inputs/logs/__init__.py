"""Logs of evaluation tools: what was asked, under which condition, and how the answer was scored.

One file a tool, each read by the standard library and pyarrow alone, also where the tool is installed: what a
log says does then not depend on what stands beside it. Where Inspect is installed the tests compare.
"""
