"""Render the gallery: a few figures of the shipped demonstration checkpoint, small enough for a README.

python examples/gallery.py [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import margin
from margin import figures
from margin.commands.demo import collect_demo

SHOWN = (
    *("projection", "projection-umap", "silhouette", "distributions", "waterfall"),
    *("pairs", "decoys", "slices", "layers", "robustness"),
)
DPI = 110
"""Sharp at the width of a README's column, and tens of kilobytes."""


def render(folder: Path) -> list[Path]:
    """Collect the demonstration run and draw its figures into `folder`; the paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        run = collect_demo("cotrained", Path(temporary) / "run")
        report = margin.analyse(run)
        with figures.style("paper"):
            return [figures.save(report.figure(name), folder / f"{name}.png", dpi=DPI) for name in SHOWN]


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("gallery")
    for path in render(place):
        print(path)
