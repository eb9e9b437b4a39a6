"""`python -m margin`, which launchers of many processes can start: `torchrun -m margin collect ...`."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while libraries are imported: nothing to say yet

from margin.cli import main

if __name__ == "__main__":
    main(prog_name="margin")
