"""Where do the numbers come from, and how exactly are they known?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pydantic import ConfigDict

from margin.study.noise_floor import noise_floor
from margin.study.notation import flat
from margin.study.record import Record
from margin.study.section import Fact, Section
from margin.study.study import Study
from margin.study.table import Table, table


class ProvenanceRecord(Record):
    """Checkpoint, digests, modes, prompts, versions, device, of the run's manifest."""

    model_config = ConfigDict(extra="allow")

    model: str
    identity: dict[str, Any]


class ProvenanceKeys(Record):
    provenance: ProvenanceRecord
    noise_floor: dict[str, Any] | None = None
    """Spread of the margin over numerically equivalent ways to compute it; null where it was not measured."""


@dataclass(frozen=True, eq=False)
class Provenance(Section):
    """Where the numbers come from."""

    keys = ProvenanceKeys
    found: dict[str, Any]
    """Checkpoint, digests, modes, prompts, versions, device."""
    noise_floor: dict[str, Any] | None
    """Spread of the margin over numerically equivalent ways to compute it; None where it was not measured."""

    @classmethod
    def of(cls, study: Study) -> Provenance:
        """What the run's manifest says.

        Without what helps to guess a token: fingerprints, and how many token ids were run.
        """
        manifest = study.run.manifest.to_dict()
        kept = ("identity", "environment", "tail", "counts", "batching", "throughput")
        found = {"model": manifest["identity"]["model"], **{key: manifest[key] for key in kept}}
        identity, throughput = found["identity"], found["throughput"]
        modes = [{key: mode[key] for key in mode if key != "fingerprint"} for mode in identity["modes"]]
        throughput = {key: value for key, value in throughput.items() if key != "tokens"}
        if study.run.manifest.imported is not None:
            found["imported"] = manifest["imported"]
        return cls(
            found | {"identity": identity | {"modes": modes}, "throughput": throughput},
            noise_floor(study.run),
        )

    def record(self) -> ProvenanceKeys:
        """As found."""
        return ProvenanceKeys(provenance=ProvenanceRecord(**self.found), noise_floor=self.noise_floor)

    def facts(self) -> Iterator[Fact]:
        """That the states were made elsewhere, where they were."""
        if states := self.found.get("imported"):
            yield Fact(
                "imported states",
                states["engine"],
                f"{states['rows_compared']} rows run again agree",
                sentence=f"The states were imported from {states['source']} ({states['engine']}, "
                f"{states['precision']}): {states['rows_compared']} of {self.found['counts']['rows']} rows "
                f"were run again here, and agree to {states['largest_difference']:.1e}.",
                card=False,
            )

    def tables(self) -> Iterator[Table]:
        """One line an entry."""
        floor = {} if self.noise_floor is None else {"noise_floor": self.noise_floor}
        lines = pd.DataFrame(flat(self.found | floor).items(), columns=["entry", "value"], dtype=object)
        yield table("provenance", "Where the numbers come from", "", lines)
