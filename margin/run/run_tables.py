"""The tables of a run: its prompts, its rows, and what was worked out of their distributions."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import pandas as pd

from margin.errors import MarginError, foreign
from margin.run.files import parquet_table
from margin.run.manifest import Manifest

ANSWERS = "answers.parquet"
"""File of the answers that were generated, where some were asked for."""
THOUGHTS = "thoughts.parquet"
"""File of what the model wrote before the measured tokens, where those are not the first."""

PAIRS = "pairs.parquet"
INFORMATION = "information.parquet"
DECOY_PAIRS = "decoy_pairs.parquet"
DECOY_INFORMATION = "decoy_information.parquet"


class RunTables:
    """A run's tables, each read when it is first asked for."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @cached_property
    def prompts(self) -> pd.DataFrame:
        """One line a prompt: id, prompt, then the slice columns."""
        return self._table("prompts.parquet")

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One line a forward pass: row, prompt_id, condition, kind, mode, draw.

        `kind` is "mode" or that of a control; `mode` the one whose token stands in its place, None without.
        """
        # Of runs from before it was left out: it tells how long a token is.
        return self._table("rows.parquet").drop(columns="n_tokens", errors="ignore")

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """One line a prompt and pair of modes: prompt_id, mode_a, mode_b, js_bits, tv, hellinger2.

        Distances between the two next-token distributions: Jensen-Shannon divergence in bits, total variation
        and squared Hellinger distance, each in [0, 1].
        """
        return self._table(PAIRS)

    @cached_property
    def information(self) -> pd.DataFrame:
        """One line a prompt: prompt_id, bits.

        Mutual information between the mode, drawn evenly, and the first response token: how much of the mode
        the token gives away, 0 to log2 of the number of modes.
        """
        return self._table(INFORMATION)

    @cached_property
    def decoy_pairs(self) -> pd.DataFrame | None:
        """The same as `pairs` of each set of decoys, a decoy standing in for the mode whose place it has, and
        the number of its set: prompt_id, mode_a, mode_b, js_bits, tv, hellinger2, set.

        None of a run without decoys, or from before these were kept.
        """
        return self._table(DECOY_PAIRS) if DECOY_PAIRS in self.manifest.files else None

    @cached_property
    def decoy_information(self) -> pd.DataFrame | None:
        """The same as `information` of each set of decoys: prompt_id, bits, set; None as `decoy_pairs`."""
        return self._table(DECOY_INFORMATION) if DECOY_INFORMATION in self.manifest.files else None

    @cached_property
    def answers(self) -> pd.DataFrame:
        """One line a row that was answered: row, answer, n_tokens, finished (the turn ended by itself).

        Text that stays local to the run; live tokens in it are redacted. MarginError where none were kept.
        """
        if ANSWERS not in self.manifest.files:
            raise MarginError(f"{self.path} holds no answers: collect it with --generate N")
        return self._table(ANSWERS)

    @cached_property
    def thoughts(self) -> pd.DataFrame:
        """One line a row that was asked: row, prompt_id, condition, kind, draw, thought, n_tokens, ended.

        `row` is its place in the run, missing where it was left out; `cut`: it had used up its tokens.

        Text that stays local to the run; live tokens in it are redacted. `ids` are its tokens, missing where
        it held what was redacted. MarginError of a run that was measured at the first token.
        """
        if THOUGHTS not in self.manifest.files:
            raise MarginError(f"{self.path} holds no thoughts: collect it with --measure-after thought")
        return self._table(THOUGHTS)

    def _table(self, name: str) -> pd.DataFrame:
        with foreign(f"{self.path / name} cannot be read"):
            return parquet_table(self.path / name)
