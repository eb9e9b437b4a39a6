"""What the lighter installs leave out, and the one line that says so where it is needed."""

from __future__ import annotations

from importlib.util import find_spec

from margin.errors import MarginError

EXTRAS = {
    "collect": {
        "torch": "torch",
        "transformers": "transformers",
        "peft": "peft",
        "accelerate": "accelerate",
        "gguf": "gguf",
    },
    "datasets": {"datasets": "datasets"},
    "umap": {"umap": "umap-learn"},
}
"""By extra of the package: the modules it brings, and what each is installed as."""


class MissingExtraError(MarginError, ModuleNotFoundError):
    """Something needs an extra that is not installed. A ModuleNotFoundError as well, as without this."""


def require(extra: str, what: str) -> None:
    """Nothing where all that `extra` brings can be imported; imports none of it.

    Called where a room that needs the extra is entered; `what` is the subject of what is said.

    Raises
    ------
    MissingExtraError : names what is missing and the line that installs it.

    Example
    -------
    >>> require("collect", "running a model")
    """
    missing = [package for module, package in EXTRAS[extra].items() if not _there(module)]
    if missing:
        *others, last = missing
        names = f"{', '.join(others)} and {last}" if others else last
        raise MissingExtraError(f"{what} needs {names}: pip install 'safety-margin[{extra}]'")


def _there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # what keeps a module out may raise, or leave an empty place for it
        return False
