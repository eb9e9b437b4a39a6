"""What a figure is drawn on, made sure of: an Axes where one panel is drawn, a Figure where several are."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from margin.errors import MarginError

F = TypeVar("F", bound=Callable[..., Any])

_WANTED = {
    "Axes": (Axes, "an Axes of matplotlib, such as figure().add_subplot()"),
    "Figure": (Figure, "a Figure of matplotlib, such as figure()"),
    "FigureBase": (FigureBase, "a Figure of matplotlib, such as figure(), or a part of one"),
}
"""By the name of the type that a parameter is annotated with."""


def on_canvas(function: F) -> F:
    """A function that answers anything else in the place of an Axes or a Figure with one line, a MarginError.

    Else Python would say that a Figure, an array of Axes or None has no attribute of some name.
    """
    signature = inspect.signature(function)
    wanted = {
        name: _WANTED[parameter.annotation]
        for name, parameter in signature.parameters.items()
        if parameter.annotation in _WANTED
    }

    @wraps(function)
    def drawn(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        for name, (kind, what) in wanted.items():
            if name in given and not isinstance(given[name], kind):
                got = type(given[name]).__name__
                raise MarginError(f"{function.__name__}: {name} must be {what}; got {got}")
        return function(*args, **kwargs)

    return drawn  # type: ignore[return-value]
