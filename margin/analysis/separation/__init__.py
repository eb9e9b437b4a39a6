"""How far the modes stand apart, by measures other than the silhouette: a file a measure, `table` runs them
all."""

from margin.analysis.separation.table import separation
from margin.analysis.separation.tokens import TokenTables

__all__ = ["TokenTables", "separation"]
