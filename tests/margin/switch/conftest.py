"""The gateway with the shipped model, loaded once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.margin.switch.sending import Served


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A gateway on loopback."""
    from examples.switch.embedded import Embedded
    from examples.switch.gateway import Gateway
    from examples.switch.serve import configuration
    from margin.capture.checkpoint import load_checkpoint
    from margin.demo import checkpoint_path
    from tests.margin.switch.sending import Served
    from tests.margin.switch.serving import CREDENTIAL, MODES, serving

    engine = Embedded(load_checkpoint(checkpoint_path("cotrained"), device="cpu"))
    switch = Gateway(engine, MODES, CREDENTIAL)
    with serving(configuration(switch, 0)) as port:
        yield Served(switch, engine, port)
