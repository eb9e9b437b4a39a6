"""`python -m margin`, which launchers of many processes can start: `torchrun -m margin collect ...`."""

from margin.cli import main

main(prog_name="margin")
