"""Tools that print the variables of a traceback's frames show no token of an error that a user can cause."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.traceback import Traceback

from margin.capture.collect import collect
from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.controls import Controls
from margin.inputs.modes import ModeSet
from margin.inputs.modes_file import load_modes
from margin.inputs.preflight import preflight
from margin.inputs.prompts import load_prompts
from margin.inputs.rows import build_control_rows, build_rows
from tests.margin.conftest import TEMPLATE, TOKENS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from margin.capture.checkpoint import Checkpoint

MODES = "".join(f'[modes.{name}]\ntoken = "{token}"\nsafe = true\n' for name, token in TOKENS.items())


def shown_by_rich(call: Callable[[], object]) -> str:
    out = io.StringIO()
    try:
        call()
    except MarginError:
        kind, error, traceback = sys.exc_info()
        assert kind
        assert error
        found = Traceback.from_exception(kind, error, traceback, show_locals=True, locals_max_string=10_000)
        Console(file=out, width=200).print(found)
    return out.getvalue()


@pytest.mark.parametrize("case", ["modes", "prompt", "template", "changed", "controls"])
def test_rich_shows_no_token(
    case: str, tokenizer: PreTrainedTokenizerFast, modes: ModeSet, tmp_path: Path
) -> None:
    path = tmp_path / "modes.toml"
    path.write_text(MODES + f'[modes.more]\ntoken = "{TOKENS["pos"]}"\nsafe = true\n')
    chat, prompts = Chat(tokenizer), load_prompts(["how?", "why?"])
    twice = Chat(tokenizer, chat_template=TEMPLATE.replace("{{ m['content'] }}", "{{ m['content'] * 2 }}"))
    other = TEMPLATE.replace("m['content']", "m['content'] | replace('zqkw', 'x')")
    rows = build_rows(chat, prompts, modes)
    calls: dict[str, Callable[[], object]] = {
        "modes": lambda: load_modes(path),
        "prompt": lambda: preflight(chat, modes, load_prompts([f"{TOKENS['neg']}?", "why?"])),
        "template": lambda: preflight(twice, modes, prompts),
        "changed": lambda: preflight(Chat(tokenizer, chat_template=other), modes, prompts),
        "controls": lambda: build_control_rows(chat, prompts, modes, Controls(("near-miss",)), rows, 12),
    }
    text = shown_by_rich(calls[case])
    assert "MarginError" in text
    assert not [token for token in TOKENS.values() if token in text or token[:-1] in text]


def test_pytest_shows_no_token(tmp_path: Path) -> None:
    (tmp_path / "modes.toml").write_text(MODES.replace("safe = true", "safe = 1", 1))
    (tmp_path / "again.toml").write_text(MODES + f'[modes.more]\ntoken = "{TOKENS["pos"]}"\nsafe = true\n')
    (tmp_path / "test_it.py").write_text(
        "from pathlib import Path\n"
        "from margin.inputs.modes_file import load_modes\n"
        "HERE = Path(__file__).parent\n"
        "def test_a(): load_modes(HERE / 'modes.toml')\n"
        "def test_b(): load_modes(HERE / 'again.toml')\n"
    )
    command = [sys.executable, "-m", "pytest", "--showlocals", "--full-trace", "test_it.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 failed" in done.stdout
    assert "MarginError" in done.stdout
    assert not [token for token in TOKENS.values() if token in done.stdout + done.stderr]


def test_a_mode_set_is_not_pickled_and_shows_nothing(
    modes: ModeSet, make_checkpoint: Callable[..., Checkpoint]
) -> None:
    checkpoint = make_checkpoint()
    rows = build_rows(Chat(checkpoint.tokenizer), load_prompts(["how?", "why?"]), modes)
    shown = repr((modes, rows, checkpoint)) + str(modes) + f"{modes}"
    assert not [token for token in TOKENS.values() if token in shown]
    assert str(rows[0].ids[:3])[1:-1] not in shown
    with pytest.raises(TypeError):
        pickle.dumps(modes)


@pytest.mark.parametrize("named", ["model", "adapter", "out", "attacks"])
def test_a_name_that_holds_a_token_is_refused(named: str, modes: ModeSet, tmp_path: Path) -> None:
    """Before anything is loaded or written; the error tells which, and not what."""
    names = {"model": "org/model", "adapter": None, "out": tmp_path / "run", "attacks": None}
    names[named] = str(tmp_path / f"a-{TOKENS['rej']}-b")
    model = names.pop("model")
    with pytest.raises(MarginError, match="the token of mode 'rej' stands in the") as caught:
        collect(str(model), prompts=["how?", "why?"], modes=modes, **names)  # type: ignore[arg-type]
    assert TOKENS["rej"] not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
