"""From a run on disk to its Report. No torch, no weights: a laptop is enough."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.behaviour.findings import Behaviour
from margin.analysis.distances import Distance
from margin.analysis.layers import LayerCurve, layer_curve
from margin.analysis.permutation import permutation_null
from margin.analysis.positions import position_curve, position_spaces
from margin.analysis.prompt_margins import Spread, prompt_margins, worst_prompts
from margin.analysis.sam import Margins, margins
from margin.analysis.separation import separation
from margin.analysis.slices import slice_margins, slicing
from margin.analysis.space import Space
from margin.analysis.token_margin import token_margins
from margin.arguments import require_level
from margin.errors import MarginError
from margin.report.report import HEADLINE, WORST, Record, Report
from margin.run.run import Run, open_run
from margin.stats.design import Design
from margin.study.behaviour import behaviour, judgements_of
from margin.study.noise_floor import noise_floor
from margin.study.probe_file import read_probes
from margin.study.robustness import robustness
from margin.study.spaces import design_of, space_of, tokens_of

LOGIT_DISTANCES: tuple[Distance, ...] = ("cosine", "euclidean", "sqeuclidean")
SPACES = ("logits", "logits_centred", "logprobs", "state")
SAM_SPACE = "logits"
BESIDE = "column "
"""What a prompt's column is called in front, in a table that has a column of its own by that name."""


def analyse(
    run: Run | str | Path,
    *,
    level: float = 0.95,
    permutations: int = 999,
    seed: int = 0,
    text: bool = False,
    optional: bool = False,
) -> Report:
    """Compute the margins of a run.

    Parameters
    ----------
    run : an opened run, or the path of its folder.
    level : nominal coverage of every interval.
    permutations : relabellings in the null of the headline margin.
    seed : of everything drawn (permutations, multipliers, folds); the same run and seed give the same report.
    text : put the prompts' text into the report.
    optional : add the separation measures that are costly or of narrower use.

    Raises
    ------
    MarginError : the run is not whole, damaged, or holds fewer than two prompts.
    """
    require_level(level)
    if permutations < 1 or seed < 0:
        raise MarginError(f"permutations {permutations} and seed {seed}: take at least 1 and 0")
    run = run if isinstance(run, Run) else open_run(run)
    rng = np.random.default_rng(seed)
    sam, spaces = _margins_by_space(run, level)
    space, rows = space_of(run, SAM_SPACE)
    design = design_of(run, rows)
    labels = run.prompts.set_index("id").drop(columns="prompt")
    columns, unsliced = slicing(labels)
    prompts, spreads = _by_prompt(run, space, design, rows, rng, text)
    return Report(
        sam=sam,
        sam_space=SAM_SPACE,
        null=permutation_null(space.distances(HEADLINE), design, rng, permutations),
        prompts=prompts,
        spreads=spreads,
        provenance=provenance(run),
        spaces=spaces,
        separation=separation(space, design, tokens_of(run), rng=rng, optional=optional, level=level),
        robustness=robustness(run, columns=columns, distance=HEADLINE, level=level, seed=seed),
        slices=tuple(
            slice_margins(space, design, labels[column], rng, HEADLINE, level) for column in columns
        ),
        unsliced=unsliced,
        layers=_layers(run, rng, level),
        noise_floor=noise_floor(run),
        positions=None
        if run.positions == 1
        else position_curve(position_spaces(run), np.random.default_rng(seed), HEADLINE, level),
        behaviour=_behaviour(run, level, seed, text),
        probes=read_probes(run),
    )


def _margins_by_space(run: Run, level: float) -> tuple[dict[str, Margins], pd.DataFrame]:
    """Margins by distance (logits; Hellinger^2 between distributions), and a table over all spaces."""
    sam: dict[str, Margins] = {}
    tables = []
    for name in SPACES:
        space, rows = space_of(run, name)
        design = design_of(run, rows)
        for distance in LOGIT_DISTANCES:
            found = margins(space, design, distance, level)
            tables.append(found.to_frame())
            if name == SAM_SPACE:
                sam[distance] = found
    space, rows = space_of(run, "probabilities")
    sam["hellinger2"] = margins(space, design_of(run, rows), "hellinger2", level)
    table = pd.concat([*tables, sam["hellinger2"].to_frame()], ignore_index=True)
    table = table[table["quantity"] == "sam"].drop(columns="quantity").rename(columns={"name": "variant"})
    return sam, table.reset_index(drop=True)


def _layers(run: Run, rng: np.random.Generator, level: float) -> LayerCurve | None:
    if len(run.layers) < 2:
        return None
    _, rows = space_of(run, f"layer:{run.layers[0]}")
    spaces = ((layer, space_of(run, f"layer:{layer}")[0]) for layer in sorted(run.layers))
    return layer_curve(spaces, design_of(run, rows), rng, HEADLINE, level)


def _behaviour(run: Run, level: float, seed: int, text: bool) -> Behaviour | None:
    judged = judgements_of(run)
    return None if judged is None else behaviour(run, judged, level=level, seed=seed, text=text)


def _by_prompt(
    run: Run, space: Space, design: Design, rows: NDArray[np.int64], rng: np.random.Generator, text: bool
) -> tuple[pd.DataFrame, tuple[Spread, ...]]:
    """One line a prompt, lowest margin first, and how each per-prompt margin is spread."""
    ids, logits = run.topk()
    tokens = token_margins(ids[rows], logits[rows], run.logsumexp()[rows], design, rng)
    found = prompt_margins(space, design, HEADLINE, tokens.margins)
    worst = worst_prompts(space.distances(HEADLINE), design, rng, count=WORST)
    table = found.to_frame().merge(worst.to_frame().drop(columns="margin"), on="prompt_id", how="left")
    about = run.prompts.set_index("id").loc[table["prompt_id"]].reset_index(drop=True)
    texts = [about["prompt"]] if text else []
    slices = about.drop(columns="prompt")
    slices.columns = pd.Index(beside(slices.columns, [*table, "prompt"]))
    table = pd.concat([table, *texts, slices], axis=1)
    return table.sort_values("margin", kind="stable", ignore_index=True), found.spreads()


def beside(columns: Iterable[str], own: Collection[str]) -> list[str]:
    """Names of the prompts' columns in a table with columns of its `own`, set apart where they are the same.

    Different columns keep different names.

    Example
    -------
    >>> beside(["language", "margin", "column margin"], own=["prompt_id", "margin"])
    ['language', 'column margin', 'column column margin']
    """
    return [f"{BESIDE}{name}" if name in own or name.startswith(BESIDE) else name for name in columns]


def provenance(run: Run) -> Record:
    """What the run's manifest says about where the numbers come from.

    Without what helps to guess a token: fingerprints, and how many token ids were run.
    """
    manifest = run.manifest.to_dict()
    kept = ("identity", "environment", "tail", "counts", "batching", "throughput")
    found = {"model": manifest["identity"]["model"], **{key: manifest[key] for key in kept}}
    modes = [{key: mode[key] for key in mode if key != "fingerprint"} for mode in found["identity"]["modes"]]
    throughput = {key: value for key, value in found["throughput"].items() if key != "tokens"}
    return found | {"identity": found["identity"] | {"modes": modes}, "throughput": throughput}
