"""Cross-fitting over prompts: folds that keep each prompt whole, and what they do to the variance.

What is fitted is tried on prompts it has not met. With a prompt's points on both sides a fit knows the prompt
it is tried on: accuracies fall far below chance without a difference between modes, and are of no use with
one. So every fold holds whole prompts, and whole clusters of them (`prompt_folds` of a complete design,
`grouped_folds` of any rows).

Each prompt is tried in one fold and fitted on in the others, so the errors of folds depend on each other,
which counting each prompt by itself leaves out. No estimate of that variance is unbiased for all fits (Bengio
and Grandvalet, 2004, "No unbiased estimator of the variance of K-fold cross-validation"); where fits are
stable it vanishes (Bayle et al., 2020, "Cross-validation confidence intervals for test error"). How much is
made up for depends on what is known of the fit:

`widening` : any fit and any score, by the number of folds alone (2.25 times the variance with 5). For what
    `probes` fits, logistic regression and directions: accuracy, areas, losses, d', transfer.
`repetition` : scores that are linear in the fit, or nearly, by the share of noise in the fits' direction,
    which held-out prompts show (1 to 2 times). For the LDA of `margin.analysis.separation.probe`, for nearest
    centroids, and for how often the rules of landings place points of known mode rightly.
`counted_twice` : fits whose influences are known in closed form, of a prompt as tried and as fitted on; what
    the sum of both holds twice is taken off. For d' along centroids, `margin.analysis.separation.d_prime`.

Each is shown to cover in simulations: tests/probes/test_probe_coverage.py for the first,
tests/margin/analysis/separation/test_separation_coverage.py for the others.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from margin.arguments import require_count
from margin.stats.design import Design, require_rows

AT_CHANCE = 2.0
"""Variance of a cross-fitted mean of scores linear in the fit, over that of held-out prompts given the fits,
where noise alone directs the fits. Prompt p's score under a fit that saw q, and q's under one that saw p, are
then one and the same product, counted in two folds. It falls to 1 with the share of noise in the fits."""
LINEAR_IN_SIGN = 2 / np.pi
"""Share of the variance of the sign of a normal score that is linear in the score; of its rank nearly all."""


def prompt_folds(design: Design, rng: np.random.Generator, folds: int = 5) -> NDArray[np.intp]:
    """(n,) fold of each prompt, of equal size up to one; fewer folds where they would hold a single prompt.

    Where prompts come in clusters, clusters are dealt and never parted. Drawn by prompt id, so that the order
    of rows does not matter.
    """
    n = design.n_units
    dealt = rng.permutation(np.arange(n) % max(2, min(folds, n // 2)))
    fold = np.empty(n, dtype=np.intp)
    if design.clusters is None:
        fold[np.argsort(design.prompt_ids)] = dealt
        return fold
    first = np.full(n, "", dtype=object)  # the least id names a cluster, whatever its label
    for cluster, prompt_id in zip(design.unit[::-1], design.prompt_ids[::-1], strict=True):
        first[cluster] = min(first[cluster] or prompt_id, prompt_id)
    fold[np.argsort(first)] = dealt
    return fold[design.unit]


def grouped_folds(rows: Design, folds: int = 5, seed: int = 0) -> NDArray[np.intp]:
    """(N,) fold of each row: all rows of a prompt in one, the modes as even as that allows.

    With a prompt's rows on both sides a probe knows the prompt it is tried on: accuracies then fall far below
    chance without a difference between modes, and are of no use with one. Fewer folds where they would hold a
    single prompt, never fewer than two. Clusters of prompts are not parted either. The prompts of a fold
    depend on the seed and not on the rows' order.

    Costs some 0.2 s a thousand prompts (scikit-learn's `StratifiedGroupKFold`). MarginError for fewer than
    two folds.

    Example
    -------
    >>> from margin.probes import make_rows
    >>> rows = make_rows(modes=["pos", "neg"] * 10, prompts=[i // 2 for i in range(20)])
    >>> fold = grouped_folds(rows, folds=5)
    >>> bool((fold[::2] == fold[1::2]).all())  # both rows of a prompt are in one
    True
    """
    from sklearn.model_selection import StratifiedGroupKFold  # slow to import, and seldom wanted

    require_rows(rows)
    require_count(folds, "folds", 2)
    require_count(seed, "seed")
    number = max(2, min(folds, rows.n_units // 2))
    # scikit-learn takes seeds of 32 bits.
    splitter = StratifiedGroupKFold(number, shuffle=True, random_state=seed % 2**32)
    fold, unit = np.empty(rows.n_points, dtype=np.intp), rows.unit[rows.prompt]
    with warnings.catch_warnings():
        # A mode rarer than there are folds is for whoever fits to deal with.
        warnings.filterwarnings("ignore", message="The least populated class")
        for f, (_, held_out) in enumerate(splitter.split(np.zeros(rows.n_points), rows.mode, unit)):
            fold[held_out] = f
    return fold


def training_weights(design: Design, fold: NDArray[np.intp]) -> NDArray[np.float64]:
    """(N, folds, k) weights of the centroid of each mode over the prompts outside each fold."""
    training = fold[design.prompt][:, None] != np.arange(fold.max() + 1)
    weights = training[:, :, None] * design.onehot[:, None, :]
    shares: NDArray[np.float64] = weights / weights.sum(axis=0)
    return shares


def widening(fold: NDArray[np.intp]) -> float:
    """Factor on standard errors: sqrt(1 + K / (K - 1)) with K folds; 1 for a single held-out set.

    Where modes hardly differ fits are not stable: in simulations the variance is 1.2 to 1.6 times what
    prompts show for accuracy, and up to 2.7 times for the Brier score. The factor is that of Nadeau and
    Bengio (2003), "Inference for the generalization error". With it 95% intervals cover .95 (losses) to .99
    without a difference between modes, and .99 or more with a clear one.
    """
    folds = int(fold.max()) + 1
    return float(np.sqrt(1 + folds / (folds - 1))) if folds > 1 else 1.0


def repetition(noise: float, linear: float = 1.0) -> float:
    """Factor on the variance where a share `noise` of the fits' direction is noise: 1 to `AT_CHANCE`.

    `linear` is the share of the variance of the score that is linear in the fit: 1 of ranks, `LINEAR_IN_SIGN`
    of right and wrong.
    """
    return 1 + (AT_CHANCE - 1) * noise * linear


def signal_share(scores: NDArray[np.float64], of_means: NDArray[np.float64]) -> float:
    """Share of the fits' direction that is not noise, in [0, 1]: how far apart they put the modes of held-out
    prompts, over how far those of the prompts they were fitted on.

    Scores (m, k, k) of m prompts, and of the means of each fit's own, under k modes (first k) for each of
    k modes (last).
    """

    def apart(s: NDArray[np.float64]) -> float:
        own = np.trace(s, axis1=1, axis2=2)
        return float(np.mean(s.shape[1] * own - s.sum(axis=(1, 2))))

    on_training = apart(of_means)
    return float(np.clip(apart(scores) / on_training, 0, 1)) if on_training > 0 else 0.0


def wider_share(scores: NDArray[np.float64], of_means: NDArray[np.float64]) -> float:
    """Factor on the standard error of the share of points that scores put right, 1 to sqrt(1 + 2 / pi).

    Scores (m, k, k) of prompts, and of the means of each fit's own, as `signal_share` takes them. For nearest
    centroids they are minus the squared distances.
    """
    return float(np.sqrt(repetition(1 - signal_share(scores, of_means), LINEAR_IN_SIGN)))


def counted_twice(tried: NDArray[np.float64], whole: NDArray[np.float64]) -> float:
    """Variance that the jackknife holds too much, of influences (n,) of prompts as tried and in both parts.

    Where modes hardly differ the two parts, tried and fitted on, are one, which their sum counts twice: the
    whole is held to `AT_CHANCE` times what prompts show as they are tried. Of clusters where prompts come in
    them. For `margin.stats.intervals.t_interval`.
    """
    n, most = len(tried), AT_CHANCE * np.sum(tried**2)
    return max(0.0, float(np.sum(whole**2) - most)) * n / (n - 1)
