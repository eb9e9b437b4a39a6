"""How far the mode changes the distribution of the next token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import entr

from margin.analysis.separation.paired import mean_estimate
from margin.errors import MarginError
from margin.short import Short
from margin.stats.clusters import make_clusters
from margin.stats.estimate import Estimate
from margin.text import counted


def mutual_information(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """I(mode; token | prompt) of each prompt, modes equally likely: H(mean_c p_c) - mean_c H(p_c).

    Parameters
    ----------
    probabilities : (n, k, V) next-token distribution of each prompt under each mode, float; rows sum to 1.

    Returns
    -------
    (n,) bits in [0, log2 k]: how much one sampled token tells of the mode. With two modes it is their
    Jensen-Shannon divergence. The mean over prompts is the paired measure (`mean_estimate` has its interval);
    the distributions averaged over prompts first, as one prompt (1, k, V), give the mixture's.

    Cost: O(n k V). Lin (1991), "Divergence measures based on the Shannon entropy".
    """
    p = probabilities.astype(np.float64)
    bits = (entr(p.mean(axis=1)).sum(axis=-1) - entr(p).sum(axis=-1).mean(axis=-1)) / np.log(2)
    information: NDArray[np.float64] = np.maximum(bits, 0)
    return information


@dataclass(frozen=True, eq=False)
class TokenTables(Short):
    """What a run keeps of whole next-token distributions."""

    pairs: pd.DataFrame
    """One line a prompt and pair of modes: prompt_id, mode_a, mode_b, js_bits, tv, hellinger2."""
    information: pd.DataFrame | None = None
    """One line a prompt: prompt_id, bits: I(mode; token | prompt) over all modes."""
    marginals: NDArray[np.floating] | None = None
    """(k, V) mean distribution over prompts of each of `modes`."""
    modes: tuple[str, ...] = ()
    """The run's modes, in the order of `marginals`."""
    clusters: pd.Series | None = None
    """Cluster of each prompt by its id; None where prompts are independent."""


@dataclass(frozen=True)
class TokenDistances:
    """Means over prompts (and pairs of modes) of distances between next-token distributions of one prompt."""

    mutual_information: Estimate | None
    """I(mode; token | prompt) in bits, [0, log2 k]; None where it was not kept for these modes together."""
    mixture_information: Estimate | None
    """I(mode; token) in bits of the distributions averaged over prompts, [0, log2 k], without an interval:
    how much a token tells of the mode to one who does not see the prompt. None where these were not kept."""
    total_variation: Estimate
    """Largest difference between the probabilities of a set of tokens, [0, 1]."""
    hellinger2: Estimate
    """1 - sum of sqrt(p q), [0, 1]."""


def token_distances(tables: TokenTables, modes: Sequence[str], level: float = 0.95) -> TokenDistances:
    """Average token distances over prompts, with Student's t intervals over prompts.

    Parameters
    ----------
    modes : two modes or more; prompts that lack a pair of them are left out. Influences have the order in
        which prompts come in the table.

    Cost: O(lines). Lin (1991) for the information; Le Cam (1986), "Asymptotic Methods in Statistical Decision
    Theory", for the distances.

    Raises
    ------
    MarginError : fewer than two prompts have every pair of these modes.
    """
    pairs = tables.pairs
    lines = pairs[pairs["mode_a"].isin(modes) & pairs["mode_b"].isin(modes)]
    by_prompt = lines.groupby("prompt_id", sort=False)[["js_bits", "tv", "hellinger2"]]
    means = by_prompt.mean()[by_prompt.size() == len(modes) * (len(modes) - 1) // 2]
    if len(means) < 2:
        raise MarginError(
            f"only {counted(len(means), 'prompt')} with token distances between "
            f"{', '.join(modes)}: two are needed"
        )
    over = None if tables.clusters is None else make_clusters(tables.clusters.reindex(means.index))
    of = {column: mean_estimate(means[column].to_numpy(), level, over) for column in means}
    information = None
    if len(modes) == 2:
        information = of["js_bits"]
    elif tables.information is not None and set(modes) == set(tables.modes):
        bits = tables.information.set_index("prompt_id")["bits"].reindex(means.index)
        information = mean_estimate(bits.to_numpy(), level, over)
    mixture = None
    if tables.marginals is not None:
        of_these = tables.marginals[[tables.modes.index(mode) for mode in modes]]
        mixture = Estimate(float(mutual_information(of_these[None])[0]), n_prompts=len(means))
    return TokenDistances(information, mixture, of["tv"], of["hellinger2"])
