"""A checkpoint from the hub: downloaded, had again without a connection, missed in one line and at once."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

from margin.capture.checkpoint import Checkpoint
from tests.margin.capture.capture_checkpoints import reweighted
from tests.margin.capture.test_adapter import Opens

# A hub of one checkpoint on this machine; after the first download it is gone.
SCRIPT = """
import hashlib, http.server, json, os, sys, threading, time
folder, adapter, pickled, coded, home = sys.argv[1:]
folders, asked = {"tiny": folder, "adapter": adapter, "pickled": pickled, "coded": coded}, []

class Hub(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(body=False)
    def do_GET(self):
        self.answer(body=True)
    def answer(self, body):
        known = any(f"/org/{name}" in self.path for name in folders)
        name = next((name for name in folders if f"/org/{name}" in self.path), "")
        path = os.path.join(folders.get(name, ""), self.path.rpartition("/")[2])
        listing = None
        if known and "/revision/" in self.path:
            listing = {"id": f"org/{name}", "sha": "a" * 40}
        elif known and "/tree/" in self.path:
            listing = [
                {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": "0" * 40}
                for file in os.scandir(folders[name])
            ]
        if listing or (known and "/resolve/" in self.path and os.path.isfile(path)):
            asked.append(self.path.rpartition("/")[2])
            data = json.dumps(listing).encode() if listing else open(path, "rb").read()
            self.send_response(200)
            self.send_header("X-Repo-Commit", "a" * 40)
            self.send_header("ETag", hashlib.sha256(data).hexdigest())
        else:
            data = b""
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)
    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ |= {"HF_HOME": home, "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}

from margin.capture.checkpoint import load_checkpoint
from margin.errors import MarginError

def missed(source, **options):
    started = time.monotonic()
    try:
        load_checkpoint(source, device="cpu", **options)
    except MarginError as error:
        return str(error), time.monotonic() - started

found = {"local": load_checkpoint(folder, device="cpu").weights_digest()}
checkpoint = load_checkpoint("org/tiny", device="cpu")
found["hub"] = checkpoint.weights_digest()
found["unknown"] = missed("org/other")
found["no id"] = missed("my model")
found["as model"] = missed("org/adapter")
found["coded"] = missed("org/coded")
found["pickled"] = missed("org/tiny", adapter="org/pickled")
adapted = load_checkpoint("org/tiny", adapter="org/adapter", device="cpu")
found["asked"] = asked
server.shutdown()
server.server_close()
again = load_checkpoint("org/tiny", device="cpu")
found["cached"] = again.weights_digest()
found["names"] = [(one.name, one.revision) for one in (checkpoint, again)]
found["unreached"] = missed("org/other")
offline = load_checkpoint("org/tiny", adapter="org/adapter", device="cpu")
here = load_checkpoint(folder, adapter=adapter, device="cpu")
adapted = here, adapted, offline
found["adapted"] = [(one.adapter, one.tokenizer_from, one.weights_digest()) for one in adapted]
print(json.dumps(found))
"""
RETRYING = 7
"""Seconds that the hub's client would wait at least before it tried a third time."""


def test_hub(saved_checkpoint: Path, make_checkpoint: Callable[..., Checkpoint], tmp_path: Path) -> None:
    adapter, pickled, marker = (tmp_path / name for name in ("adapter", "pickled", "marker"))
    coded = reweighted(
        saved_checkpoint,
        tmp_path / "coded",
        lambda weights: {n: w.to(torch.int8) for n, w in weights.items()},
    )
    made = make_checkpoint()
    made.tokenizer.save_pretrained(adapter)
    get_peft_model(made.model, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(str(adapter))
    for name in ("training_args.bin", "adapter_model.bin"):
        (adapter / name).write_bytes(pickle.dumps(Opens(marker)))
    shutil.copytree(adapter, pickled)
    (pickled / "adapter_model.safetensors").unlink()
    places = (saved_checkpoint, adapter, pickled, coded, tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, places)],
        env={name: value for name, value in os.environ.items() if not name.startswith("HF_")},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["local"] == found["hub"] == found["cached"]
    assert found["names"] == [["org/tiny", "a" * 40]] * 2
    assert "the hub has none of that id" in found["unknown"][0]
    assert "no such file or folder" in found["no id"][0]
    assert "org/adapter is an adapter: pass its base model" in found["as model"][0]
    assert "codes of a quantised model" in found["coded"][0]  # as of a folder, when first downloaded, too
    assert "only pickled weights" in found["pickled"][0] or "no weights" in found["pickled"][0]
    assert "adapter_model.safetensors" in found["asked"]
    assert not any(file.endswith(".bin") for file in found["asked"])
    assert not marker.exists()
    here, there, cached = found["adapted"]
    assert (there, cached) == (["org/adapter", "adapter", here[2]],) * 2
    message, seconds = found["unreached"]
    assert message == (
        "org/other: no such folder, and the hub is not reached to look there; correct the path, or try again "
        "with a connection"
    )
    assert seconds < RETRYING
    assert "127.0.0.1" not in done.stderr
