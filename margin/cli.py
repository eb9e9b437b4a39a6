"""The command `margin`: thin commands over the library."""

from __future__ import annotations

import click


@click.group()
def main() -> None:
    """Measure the Safety Alignment Margin of a checkpoint."""
