"""Tables as a run stores them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def pairs_table() -> pd.DataFrame:
    """Token distances of six prompts and three modes; prompt p0 lacks the pair a, c."""
    rng = np.random.default_rng(0)
    lines = [(f"p{i}", *pair) for i in range(6) for pair in (("a", "b"), ("a", "c"), ("b", "c"))]
    table = pd.DataFrame(lines, columns=["prompt_id", "mode_a", "mode_b"])
    table[["js_bits", "tv", "hellinger2"]] = rng.random((len(table), 3))
    return table.drop(index=1).reset_index(drop=True)
