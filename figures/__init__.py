"""Plots: pandas tables and a matplotlib Axes in, the Axes out."""
