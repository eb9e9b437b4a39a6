"""What stands beside a run and is not shown, said where its numbers are."""

from __future__ import annotations

from margin.errors import MarginError
from margin.run.run import Run
from margin.streams import say


def say_left_out(run: Run) -> None:
    """A line on stderr for each of probe.json, trace.json and secrecy.json that is there and cannot be taken:
    damaged, edited, or of another run. Else it would look as if it had never been measured."""
    from margin.study.probe_file import NAME, require_probes
    from margin.study.secrecy_file import NAME as SECRECY
    from margin.study.secrecy_file import require_secrecy
    from margin.study.trace_file import NAME as TRACE
    from margin.study.trace_file import require_trace

    for name, require in ((NAME, require_probes), (TRACE, require_trace), (SECRECY, require_secrecy)):
        if (run.path / name).exists():
            try:
                require(run)
            except MarginError as error:
                say(f"left out: {error}")
