"""How this project's docstrings are read: sections underlined as NumPy's are, one line `name : what it is`.

No parser knows the two together, so they are handed on in the style of Google's, which one knows. Types come
from the signature.
"""

from __future__ import annotations

import inspect
import re
from pydoc import locate
from typing import Any

from griffe import Alias, Extension, GriffeLoader, Module, Object

from margin.inputs.options import HERE

HEADINGS = {"Parameters": "Args:", "Returns": "Returns:", "Raises": "Raises:", "Example": "Examples:"}
ITEM = re.compile(r"(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)*) : (?P<text>.*)")


class Sections(Extension):
    """Rewrites every docstring as it is loaded, and lets what a package exports win over its files."""

    def on_package(self, *, pkg: Module, loader: GriffeLoader, **kwargs: Any) -> None:
        """Called by griffe once a package is read: `probes.transfer` is the function, as on import."""
        loader.resolve_aliases()
        for package in (pkg, *pkg.modules.values()):
            for name in package.exports or ():
                module = package.members[str(name)]
                if module.is_module and str(name) in module.members:
                    package.members[str(name)] = Alias(str(name), module.members[str(name)], parent=package)

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        """Called by griffe for each module, class, function and attribute."""
        if obj.docstring is not None and HERE in obj.docstring.value:  # filled in when it is imported
            obj.docstring.value = inspect.cleandoc(getattr(locate(obj.path), "__doc__", None) or "")
        if obj.docstring is not None:
            obj.docstring.value = google(obj.docstring.value)


def google(text: str) -> str:
    """A docstring of ours in Google's style; what is in no section stays as it is."""
    lines = text.splitlines()
    made: list[str] = []
    while lines:
        line = lines.pop(0)
        if line in HEADINGS and lines and set(lines[0]) == {"-"}:
            lines.pop(0)
            body = [lines.pop(0) for _ in range(_length(lines, line))]
            made += [HEADINGS[line], *_entries(body, line), ""]
        else:
            made.append(line)
    return "\n".join(made)


def _length(lines: list[str], heading: str) -> int:
    """Lines at the head of `lines` that belong to a section: to the next paragraph, or the next heading."""
    named = heading in ("Parameters", "Raises")
    for number, line in enumerate(lines):
        if named and not (ITEM.fullmatch(line) or line.startswith("    ")):
            return number
        if not line and not (heading == "Example" and lines[number + 1 : number + 2] != [""]):
            return number
    return len(lines)


def _entries(body: list[str], heading: str) -> list[str]:
    """The lines of a section, indented; an entry for each of several names that share one."""
    if heading not in ("Parameters", "Raises"):
        return [f"    {line}".rstrip() for line in body]
    entries: list[tuple[list[str], list[str]]] = []
    for line in body:
        if found := ITEM.fullmatch(line):
            entries.append((found["names"].split(", "), [found["text"]]))
        else:
            entries[-1][1].append(f"        {line.strip()}")
    return [
        line
        for names, (first, *rest) in entries
        for name in names
        for line in (f"    {name}: {first}", *rest)
    ]
