"""Learned read-outs of hidden states: arrays and scikit-learn estimators in, numbers with intervals out.

Nothing here knows of `margin`. Rows are hidden states at one position, each of one prompt under one mode:

Example
-------
>>> import numpy as np
>>> from margin.probes import grouped_folds, make_rows, probe_layers
>>> rng = np.random.default_rng(0)
>>> modes, prompts = ["neg", "pos"] * 30, np.repeat(range(30), 2)
>>> X0 = rng.normal(size=(60, 4))
>>> X1 = X0 + np.tile([[0.0], [2.0]], (30, 4))  # from here on the modes stand apart
>>> rows = make_rows(modes, prompts)
>>> fold = grouped_folds(rows, folds=5, seed=0)  # all rows of a prompt in one fold
>>> found = probe_layers([(0, X0), (1, X1)], rows, fold)
>>> found.deciding.layer
1
"""

from margin.probes.deciding import Deciding, earliest_deciding
from margin.probes.directions import cosines, d_primes, directions
from margin.probes.layers import LayerProbe, LayerProbes, probe_layer, probe_layers
from margin.probes.logistic import cross_fit, logistic_probe
from margin.probes.rows import make_rows
from margin.probes.transfer import domain_folds, transfer
from margin.stats.estimate import Estimate
from margin.stats.folds import grouped_folds

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
