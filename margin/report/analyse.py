"""From a run on disk to its Report. No torch, no weights: a laptop is enough."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from margin.analysis.design import Design, make_design
from margin.analysis.permutation import permutation_null
from margin.analysis.run_spaces import space_of
from margin.analysis.sam import Margins, margins
from margin.report.report import HEADLINE, Record, Report
from margin.run.run import Run, open_run

SPACE_OF_DISTANCE = {
    "cosine": "logits",
    "euclidean": "logits",
    "sqeuclidean": "logits",
    "hellinger2": "probabilities",
}


def analyse(
    run: Run | str | Path, *, level: float = 0.95, permutations: int = 999, seed: int = 0, text: bool = False
) -> Report:
    """Compute the margins of a run.

    Parameters
    ----------
    run : an opened run, or the path of its folder.
    level : nominal coverage of every interval.
    permutations : relabellings in the null of the headline margin.
    seed : of the permutations.
    text : put the prompts' text into the report.

    Raises
    ------
    MarginError : the run is not whole, damaged, or holds fewer than two prompts.
    """
    run = run if isinstance(run, Run) else open_run(run)
    sam: dict[str, Margins] = {}
    for distance, name in SPACE_OF_DISTANCE.items():
        space, rows = space_of(run, name)
        sam[distance] = margins(space, design_of(run, rows), distance, level)  # type: ignore[arg-type]
    space, rows = space_of(run, SPACE_OF_DISTANCE[HEADLINE])
    design = design_of(run, rows)
    null = permutation_null(space.distances(HEADLINE), design, np.random.default_rng(seed), permutations)
    return Report(
        sam=sam,
        sam_space=SPACE_OF_DISTANCE[HEADLINE],
        null=null,
        prompts=weakest_first(sam[HEADLINE], design, run.prompts, text),
        provenance=provenance(run),
        noise_floor=run.manifest.noise_floor,
    )


def design_of(run: Run, rows: np.ndarray) -> Design:
    """The design of the given rows of a run."""
    lines = run.rows.iloc[rows]
    return make_design(lines["condition"].to_numpy(), lines["prompt_id"].to_numpy())


def weakest_first(margins: Margins, design: Design, prompts: pd.DataFrame, text: bool) -> pd.DataFrame:
    """One line a prompt, lowest margin first."""
    samples = pd.DataFrame(
        {
            "prompt_id": np.asarray(design.prompt_ids, dtype=object)[design.prompt],
            "mode": np.asarray(design.modes, dtype=object)[design.mode],
            "silhouette": margins.samples,
        }
    )
    weakest = samples.loc[samples.groupby("prompt_id", sort=False)["silhouette"].idxmin()]
    weakest = weakest.rename(columns={"mode": "weakest_mode", "silhouette": "weakest"})
    mean = samples.groupby("prompt_id", sort=False)["silhouette"].mean().rename("margin").reset_index()
    about = prompts.rename(columns={"id": "prompt_id"})
    about = about if text else about.drop(columns="prompt")
    table = mean.merge(weakest, on="prompt_id").merge(about, on="prompt_id", how="left")
    return table.sort_values("margin", kind="stable", ignore_index=True)


def provenance(run: Run) -> Record:
    """What the run's manifest says about where the numbers come from."""
    manifest = run.manifest.to_dict()
    kept = ("identity", "environment", "tail", "counts", "batching", "throughput")
    return {"model": manifest["identity"]["model"], **{key: manifest[key] for key in kept}}
