"""Write a figure so that the same figure gives the same bytes, whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from margin.arguments import require_path
from margin.errors import UnwritableError, words
from margin.figures.canvas import on_canvas
from margin.figures.fit import fit

# No dates, so that equal figures are equal files.
_METADATA: dict[str, dict[str, None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
# A quarter less time than at level 6, for 5% more bytes.
_PACKING: dict[str, dict[str, Any]] = {"png": {"pil_kwargs": {"compress_level": 3}}}
_SETTINGS: dict[Any, Any] = {
    "pdf.fonttype": 42,  # TrueType: publishers refuse Type 3
    # Outlines rather than text: an SVG cannot rely on its reader's machine having the fonts, and Chinese
    # labels would turn to boxes where it has not. The PDF, with its fonts embedded, stays searchable.
    "svg.fonttype": "path",
    "svg.hashsalt": "safety-margin",  # else the ids in the file are random
}


@on_canvas
def save(fig: Figure, path: str | os.PathLike[str], dpi: float = 300) -> Path:
    """Write `fig` to `path`; the suffix (.pdf, .svg or .png) is the format. `dpi` counts for PNG only.

    The first save settles the layout, so that all formats agree. The file carries no date. It replaces an
    older one only when whole, and then has its mode as far as the umask leaves it. A link stays one, and what
    it leads to is replaced; a device or a pipe is written to. Raises ValueError for another suffix, and
    UnwritableError, a MarginError and an OSError, for what cannot be written: a folder that is missing or
    read-only, a full disk.

    Example
    -------
    >>> from margin import figures
    >>> fig = figures.figure("single")
    >>> _ = fig.add_subplot().plot([0, 1])
    >>> figures.save(fig, "line.pdf").name
    'line.pdf'
    """
    require_path(path, "path")
    target = Path(path)
    with _writing(target):
        if not target.parent.is_dir():
            raise UnwritableError(f"cannot write {target}: make the folder {target.parent} first")
        if target.is_dir():
            raise UnwritableError(f"cannot write {target}: it is a folder")
    data = rendered(fig, target.suffix.lstrip("."), dpi)
    with _writing(target):
        if target.exists() and not target.is_file():
            target.write_bytes(data)
        else:
            _replace(Path(os.path.realpath(target)), data)
    return target


@on_canvas
def rendered(fig: Figure, kind: str, dpi: float = 300) -> bytes:
    """The bytes of the file that `save` writes; `kind` is "pdf", "svg" or "png". ValueError for another.

    Example
    -------
    >>> from margin import figures
    >>> rendered(figures.figure(), "png")[1:4]
    b'PNG'
    """
    kind = kind.lower()
    if kind not in _METADATA:
        raise ValueError(f"cannot write {kind!r}: the suffix has to be one of .pdf, .svg, .png")
    engine, own = fig.get_layout_engine(), fig.dpi
    if kind == "png" and engine is not None:
        fig.set_dpi(dpi)  # hinted letters are wider at some resolutions: laid out for this one, none is cut
    fit(fig)
    fig.set_dpi(own)
    with mpl.rc_context({"figure.autolayout": False, "figure.constrained_layout.use": False}):
        fig.set_layout_engine(None)  # by the name "none" one stays that has every figure drawn twice
    for ax in fig.axes:  # a layout is equal only up to rounding, and an SVG names its parts by their places
        left, bottom, width, height = (round(edge, 6) for edge in ax.get_position(original=True).bounds)
        ax.set_position((left, bottom, width, height))
    file = BytesIO()
    with mpl.rc_context(_SETTINGS):
        fig.savefig(file, format=kind, dpi=dpi, metadata=_METADATA[kind], **_PACKING.get(kind, {}))
    return file.getvalue()


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """An OSError in this block, or an impossible name, becomes an UnwritableError that names the file."""
    try:
        yield
    except UnwritableError:
        raise
    except (OSError, ValueError) as error:
        raise UnwritableError(f"cannot write {target}: {words(error)}") from error


def _replace(target: Path, data: bytes) -> None:
    """Put `data` in the file's place, whole or not at all."""
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666
    draft = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with open(draft, "xb", opener=lambda name, flags: os.open(name, flags, mode & 0o666)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
