"""A report as one file."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from margin.run.files import write_atomic

NAME = "report.zip"


def write_archive(files: Iterable[Path], out: Path) -> Path:
    """Put files of a report's folder `out` into one archive there, by their places in it; its path.

    The same files make the same bytes: no time and no owner is kept. UnwritableError.
    """
    data = io.BytesIO()
    with ZipFile(data, "w", ZIP_DEFLATED) as archive:
        for path in sorted(files):
            entry = ZipInfo(path.relative_to(out).as_posix())
            entry.compress_type = ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    write_atomic(out / NAME, data.getvalue())
    return out / NAME
