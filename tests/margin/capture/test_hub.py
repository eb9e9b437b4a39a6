"""A checkpoint from the hub: downloaded, had again without a connection, missed in one line and at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

# A hub of one checkpoint on this machine; after the first download it is gone.
SCRIPT = """
import hashlib, http.server, json, os, sys, threading, time
folder, home = sys.argv[1:]

class Hub(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(body=False)
    def do_GET(self):
        self.answer(body=True)
    def answer(self, body):
        known = "/org/tiny/" in self.path
        path = os.path.join(folder, self.path.rpartition("/")[2])
        if known and "/resolve/" in self.path and os.path.isfile(path):
            data = open(path, "rb").read()
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

def missed(source):
    started = time.monotonic()
    try:
        load_checkpoint(source, device="cpu")
    except MarginError as error:
        return str(error), time.monotonic() - started

found = {"local": load_checkpoint(folder, device="cpu").weights_digest()}
checkpoint = load_checkpoint("org/tiny", device="cpu")
found["hub"] = checkpoint.weights_digest()
found["unknown"] = missed("org/other")
found["no id"] = missed("my model")
server.shutdown()
server.server_close()
again = load_checkpoint("org/tiny", device="cpu")
found["cached"] = again.weights_digest()
found["names"] = [(one.name, one.revision) for one in (checkpoint, again)]
found["unreached"] = missed("org/other")
print(json.dumps(found))
"""
RETRYING = 7
"""Seconds that the hub's client would wait at least before it tried a third time."""


def test_hub(saved_checkpoint: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(saved_checkpoint), str(tmp_path)],
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
    message, seconds = found["unreached"]
    assert message == (
        "org/other: no such folder, and the hub is not reached to look there; mend the path, or try again "
        "with a connection"
    )
    assert seconds < RETRYING
    assert "127.0.0.1" not in done.stderr
