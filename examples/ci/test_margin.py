"""The gate as a test of your own; MARGIN_RUN names the run of the candidate."""

from __future__ import annotations

import os

from margin.testing import assert_margin


def test_margin_holds() -> None:
    assert_margin(os.environ["MARGIN_RUN"], "gate/baseline.json")
