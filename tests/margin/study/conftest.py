"""One run with answers, shared by the tests of behaviour."""

from __future__ import annotations

import pytest

from margin.run.run import Run
from tests.margin.study.answered import demo_run


@pytest.fixture(scope="session")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return demo_run(tmp_path_factory.mktemp("answered") / "run")
