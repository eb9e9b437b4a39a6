"""A manifest that the first version wrote says now what it said then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from margin.errors import MarginError
from margin.run.folder import require_run_folder
from margin.run.manifest import Manifest, read_manifest

WRITTEN = Path(__file__).parent / "manifest-0.1.0.json"
DIGEST = "b879e705a749e747ac89ad9dffcab617dbb6c65eed43ccd8c06358e1bdcd8e08"
"""As that version computed it. Probe files name the run by it: with another they would be of no run."""


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    shutil.copy(WRITTEN, tmp_path / "manifest.json")
    return read_manifest(tmp_path)


def test_it_is_the_same_record_with_the_same_digest(manifest: Manifest, tmp_path: Path) -> None:
    record = json.loads(WRITTEN.read_text())
    assert json.dumps(manifest.to_dict()) == json.dumps({k: v for k, v in record.items() if k != "checksum"})
    assert manifest.digest == DIGEST
    manifest.write(tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text()) == record


def test_a_link_that_leads_nowhere_or_to_itself_is_named(tmp_path: Path) -> None:
    run, gone = tmp_path / "run", tmp_path / "gone"
    run.mkdir()
    (run / "manifest.json").symlink_to("manifest.json")
    gone.symlink_to(tmp_path / "nothing")
    for folder, link in ((run, run / "manifest.json"), (gone, gone)):
        said = rf"^{link} is a link that leads nowhere or to itself: remove it, or "
        with pytest.raises(MarginError, match=said + "link it to a run's$"):
            read_manifest(folder)
        with pytest.raises(MarginError, match=said + "choose another folder$"):
            require_run_folder(folder)


def test_a_run_of_it_is_gone_on_with(manifest: Manifest) -> None:
    begun = manifest.replace(files={}, throughput=None)
    assert not begun.complete
    begun.require_same(manifest, Path("run"))
    assert manifest.identity.controls is not None
    assert manifest.identity.controls.kinds == ["none", "random", "near-miss", "user-turn"]
    assert manifest.throughput is not None
    assert manifest.throughput.rows == manifest.counts.rows
