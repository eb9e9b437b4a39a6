"""The chat template and its variables, as a user gives them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from margin.errors import MarginError
from margin.inputs.reading import parse_json, read_text

TEMPLATE_NAME = re.compile(r"[\w-]+")
"""What names one of a tokenizer's own templates, and is neither a path nor a template."""
JINJA = re.compile(r"\{[{%]")
"""What begins whatever a template writes of a conversation."""


def load_template(source: str | Path) -> str:
    """A Jinja chat template from a file, or the name of one of the tokenizer's own as it stands.

    What is no file, and has nothing of a path in it, is taken for a name; `Chat` knows whether it is one.

    Raises
    ------
    MarginError : a file that cannot be read, is not UTF-8 or is empty.
    """
    path = Path(source)
    if TEMPLATE_NAME.fullmatch(str(source)) and not path.exists():
        return str(source)
    template = read_text(path, "chat template")
    if not template.strip():
        raise MarginError(f"the chat template {path} is empty")
    return template


def parse_kwargs(text: str) -> dict[str, Any]:
    """Template variables from a JSON object, '{"enable_thinking": false}'. MarginError where it is none."""
    kwargs = parse_json(text, "--chat-kwargs", once=True)
    if not isinstance(kwargs, dict):
        raise MarginError("--chat-kwargs must be a JSON object, such as '{\"enable_thinking\": false}'")
    return kwargs
