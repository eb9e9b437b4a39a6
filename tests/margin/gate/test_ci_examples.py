"""The shipped CI files call the command as it is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from margin.cli import main

CI = Path(__file__).resolve().parents[3] / "examples" / "ci"


def scripts(value: Any) -> list[str]:
    """Every shell script of a pipeline."""
    if isinstance(value, dict):
        own = [value[key] for key in ("run", "script") if key in value]
        inner = [
            script for key, item in value.items() if key not in ("run", "script") for script in scripts(item)
        ]
        return [line for item in own for line in (item if isinstance(item, list) else [item])] + inner
    if isinstance(value, list):
        return [script for item in value for script in scripts(item)]
    return []


@pytest.mark.parametrize("name", ["github.yml", "gitlab.yml"])
def test_the_package_is_installed_from_where_it_is(name: str) -> None:
    """No index is asked for a name that anybody could take there."""
    place = "git+https://example.org/safety-margin.git@v1"
    lines = scripts(yaml.safe_load((CI / name).read_text(encoding="utf-8")))
    (install,) = (shlex.split(line) for line in lines if line.startswith("pip install"))
    wanted = Requirement(install[-1].replace("$SAFETY_MARGIN", place))
    assert (wanted.name, wanted.url, wanted.extras) == ("safety-margin", place, {"collect"})


@pytest.mark.parametrize("name", ["github.yml", "gitlab.yml", "README.md"])
def test_every_command_parses(name: str) -> None:
    text = (CI / name).read_text(encoding="utf-8")
    if name.endswith(".md"):
        lines = [
            line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()
        ]
    else:
        lines = scripts(yaml.safe_load(text))
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("margin ")]
    assert {command[0] for command in commands} >= {"collect", "check"}
    for command, *arguments in commands:
        with main.commands[command].make_context(command, arguments, resilient_parsing=False) as context:
            assert context.params
