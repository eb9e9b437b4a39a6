"""Templates around a prompt: attacks, to see whether the margin withstands them, and requests to say a token.

The shipped attacks change the structure of a prompt, the shipped requests ask for the instructions; neither
asks for anything harmful. Bring stronger ones in a file.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from margin.errors import MarginError
from margin.inputs.reading import jsonl_records, parse_toml, read_text
from margin.inputs.tables import unicode
from margin.text import shown

Encoding = Literal["plain", "base64"]
Kind = Literal["attack", "extract"]
"""What a template is for: to change what is answered, or to have the token said."""

PLACEHOLDER = "{prompt}"
EXAMPLE = '{"name": ..., "template": ...}'
SHIPPED = "shipped"
"""What stands for the shipped templates where a file may be named."""

CLEAN = "clean"
"""What rows without an attack are called beside those under one."""

_NAME = re.compile(r"[\w.@+-]+")


@dataclass(frozen=True)
class Attack:
    """One template.

    Raises
    ------
    MarginError : a name that a condition could not carry, a template without one `{prompt}`, an unknown
        encoding.
    """

    name: str
    """Letters, digits and . @ + - _, for example "role-play"."""
    template: str = field(repr=False)
    """The user's message, with `{prompt}` where the prompt goes."""
    encoding: Encoding = "plain"
    """"base64" encodes the prompt (UTF-8) before it goes in."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise MarginError(f"attack name {self.name!r}: use letters, digits and . @ + - _ only")
        if self.name.casefold() == CLEAN:
            raise MarginError(
                f"attack name {self.name!r} is what prompts without an attack are called: rename it"
            )
        if self.template.count(PLACEHOLDER) != 1:
            raise MarginError(f"the template of attack {self.name!r} must hold {PLACEHOLDER} once")
        if self.encoding not in get_args(Encoding):
            known = " or ".join(get_args(Encoding))
            raise MarginError(f"attack {self.name!r} has unknown encoding {self.encoding!r}: use {known}")

    def wrap(self, prompt: str) -> str:
        """The user's message for a prompt."""
        if self.encoding == "base64":
            prompt = base64.b64encode(prompt.encode()).decode()
        return self.template.replace(PLACEHOLDER, prompt)

    def digest(self) -> str:
        """SHA-256 of everything that decides the wrapped text, in hexadecimal."""
        record = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(record.encode()).hexdigest()


def load_attacks(source: str | Path, kind: Kind = "attack") -> tuple[Attack, ...]:
    """Read templates of a kind: "shipped" for those of the package, else a .toml or .jsonl file.

    TOML has one [attacks.NAME], or [extracts.NAME], a template, with `template` and optionally `encoding`; a
    line of JSONL is an object with `name`, `template` and optionally `encoding`.

    Raises
    ------
    MarginError : a file that cannot be read or holds no templates, an unknown key, and all that `Attack`
        refuses.
    """
    path = Path(str(files("margin.inputs") / f"{kind}s.toml")) if source == SHIPPED else Path(source)
    text = read_text(path, kind)
    match path.suffix.lower():
        case ".toml":
            records = _toml_records(text, path, kind)
        case ".jsonl" | ".ndjson":
            records = list(jsonl_records(text, str(path), EXAMPLE))
        case _:
            raise MarginError(f"unknown kind of {kind} file {path}: use .toml or .jsonl")
    if not records:
        raise MarginError(f"{path} holds no {kind} templates: write [{kind}s.NAME] with a template")
    return tuple(_attack(record, place) for place, record in records)


def _toml_records(text: str, path: Path, kind: Kind) -> list[tuple[str, dict[str, Any]]]:
    document = parse_toml(text, str(path))
    key = f"{kind}s"
    tables = document.get(key)
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise MarginError(f"{path} holds no {kind} templates: write [{key}.NAME] with a template")
    if unknown := set(document) - {key}:
        raise MarginError(f"{path}: unknown key {min(unknown)!r} at the top level: known is {key}")
    for name, table in tables.items():
        if "name" in table:
            raise MarginError(f"{path}: unknown key 'name' in [{key}.{shown(name)}]: that is its name")
    return [(str(path), {"name": name, **table}) for name, table in tables.items()]


def _attack(record: dict[str, Any], place: str) -> Attack:
    if unknown := set(record) - {"name", "template", "encoding"}:
        known = "known are name, template, encoding"
        raise MarginError(f"{place}: unknown key {shown(min(unknown))!r} in an attack: {known}")
    for key in ("name", "template"):
        if key not in record:
            raise MarginError(f"{place}: attack {record.get('name', '')!r} has no {key}")
    for key, value in record.items():
        if not isinstance(value, str):
            raise MarginError(f"{place}: {key} of attack {record['name']!r} must be a string")
        unicode(value, key, place)
    try:
        return Attack(**record)
    except MarginError as error:
        raise MarginError(f"{place}: {error}") from None
