"""What stands beside a run and cannot be taken: said, or it would look as if it had never been measured."""

from __future__ import annotations

import warnings

from margin.errors import MarginError, MarginWarning
from margin.run.run import Run
from margin.study.probe_file import NAME as PROBES
from margin.study.probe_file import require_probes
from margin.study.secrecy_file import NAME as SECRECY
from margin.study.secrecy_file import require_secrecy
from margin.study.trace_file import NAME as TRACE
from margin.study.trace_file import require_trace

BESIDE = {PROBES: require_probes, TRACE: require_trace, SECRECY: require_secrecy}


def warn_of_left_out(run: Run, stacklevel: int = 1) -> None:
    """A `MarginWarning` for each of probe.json, trace.json and secrecy.json that is there and is damaged,
    edited, or of another run. `stacklevel` as `warnings.warn` counts it, 1 the caller."""
    for name, require in BESIDE.items():
        if (run.path / name).exists():
            try:
                require(run)
            except MarginError as error:
                warnings.warn(f"left out: {error}", MarginWarning, stacklevel=stacklevel + 1)
