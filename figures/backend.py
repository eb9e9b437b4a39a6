"""matplotlib imported whatever MPLBACKEND says. Comes before all that imports it in this package.

A notebook hands the name of its backend to every program it starts. In an environment of its own such a
program may not have that backend, and matplotlib then refuses to be imported, even to draw into files.
"""

import os
import sys
from contextlib import suppress

if "matplotlib" not in sys.modules:
    named = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib as mpl
    finally:
        if named is not None:
            os.environ["MPLBACKEND"] = named
    if named:
        with suppress(ValueError):  # unknown here: as if none had been named
            mpl.rcParams["backend"] = named
