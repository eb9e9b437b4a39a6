"""Learned read-outs of hidden states: arrays and scikit-learn estimators in, numbers with intervals out.

Nothing here knows of `margin`. Rows are hidden states at one position, each of one prompt under one mode:

rows = make_rows(modes, prompts)
fold = grouped_folds(rows, folds=5, seed=0)  # all rows of a prompt in one fold
found = probe_layers([(0, X0), (1, X1)], rows, fold)
found.to_frame()
"""

from margin.stats.estimate import Estimate
from probes.deciding import Deciding, earliest_deciding
from probes.directions import cosines, d_primes, directions
from probes.folds import grouped_folds
from probes.layers import LayerProbe, LayerProbes, probe_layer, probe_layers
from probes.logistic import cross_fit, logistic_probe
from probes.rows import make_rows
from probes.transfer import domain_folds, transfer

__all__ = [
    "Deciding",
    "Estimate",
    "LayerProbe",
    "LayerProbes",
    "cosines",
    "cross_fit",
    "d_primes",
    "directions",
    "domain_folds",
    "earliest_deciding",
    "grouped_folds",
    "logistic_probe",
    "make_rows",
    "probe_layer",
    "probe_layers",
    "transfer",
]
