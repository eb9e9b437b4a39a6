"""What a device makes of the runner, on models of random weights made there: see `__main__`."""
