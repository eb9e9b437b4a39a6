"""Where a run's control conditions land, what leaks, and what of the margin withstands an attack."""

from margin.analysis.robustness.findings import Finding, Robustness
from margin.analysis.robustness.robustness import robustness

__all__ = ["Finding", "Robustness", "robustness"]
