"""What Python callers hand to the public functions, made sure of: each message names the argument."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from functools import wraps
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from margin.errors import MarginError, UnknownArgumentError, words
from margin.text import brief, shown

F = TypeVar("F", bound=Callable[..., Any])


def named(function: F) -> F:
    """A function, or a class, that answers a keyword it has not with the nearest one that it has, and what is
    not True or False where one of these is asked with a line: any text would count as true.

    Example
    -------
    >>> @named
    ... def draw(width, height=2): ...
    >>> draw(3, heigth=1)
    Traceback (most recent call last):
        ...
    margin.errors.UnknownArgumentError: draw has no argument 'heigth': did you mean 'height'?
    """
    if inspect.isclass(function):
        function.__init__ = named(function.__init__)  # type: ignore[method-assign]
        return function
    parameters = inspect.signature(function).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        raise TypeError(f"{function.__qualname__} takes any keyword")
    known = [each.name for each in parameters if each.kind is not each.POSITIONAL_ONLY]
    flags = [each.name for each in parameters if isinstance(each.default, bool)]
    name = function.__qualname__.removesuffix(".__init__")

    @wraps(function)
    def asked(*args: Any, **kwargs: Any) -> Any:
        for keyword in kwargs:
            if keyword not in known:
                raise UnknownArgumentError(_unknown(name, keyword, known))
        for flag in flags:
            require_flag(kwargs.get(flag, True), flag)
        return function(*args, **kwargs)

    return asked  # type: ignore[return-value]


def _unknown(name: str, keyword: str, known: Sequence[str]) -> str:
    known = [each for each in known if each != "self"]
    near = get_close_matches(keyword, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}"
    return f"{name} has no argument {brief(keyword)!r}: {hint}"


def matrix(values: ArrayLike, name: str) -> NDArray[Any]:
    """An array (N, d) of numbers, of what NumPy, pandas or torch hold, or of lists.

    A tensor of torch may lie on any device, need gradients or be in bfloat16, which NumPy has not and which
    becomes float32.

    Raises
    ------
    MarginError : no matrix, no columns, something in it that is no real number, a mask that hides some,
        numbers so large or small that float64 has no squares of them (float32 becomes float64 in time).
    """
    if hasattr(values, "toarray"):
        raise MarginError(f"{name} is sparse: give {name}.toarray()")
    if "sparse" in str(getattr(values, "layout", "")):
        raise MarginError(f"{name} is sparse: give {name}.to_dense()")
    values = _from_torch(values)
    if np.ma.is_masked(values):
        raise MarginError(f"{name} hides some of its numbers behind a mask: leave those points out")
    try:
        array = np.asarray(values)
        array = array.astype(np.float64) if array.dtype == object else array
    except (TypeError, ValueError) as error:
        raise MarginError(f"{name} is no matrix of numbers: {words(error)}") from None
    if array.ndim != 2:
        raise MarginError(f"{name} must be a matrix (points x features), got shape {array.shape}")
    if array.dtype.kind not in "fiub":
        raise MarginError(f"{name} must hold real numbers, got {array.dtype}")
    if len(array) and not array.shape[1]:
        raise MarginError(f"{name} has no columns: there is nothing to measure")
    largest = float(max(array.max(), -float(array.min()))) if array.size else 0.0
    if array.dtype.kind == "f" and array.dtype.itemsize < 8 and _no_squares(largest, 1e12):
        return array.astype(np.float64)
    if _no_squares(largest, 1e140):
        raise MarginError(f"{name} holds numbers of up to {largest:.0e}, whose squares are none: scale it")
    return array


ROUNDED = 0.02
"""How far from 1 the sum of probabilities may be whose roots were rounded to half precision."""


def require_roots(points: NDArray[Any], name: str) -> None:
    """MarginError where the rows of a matrix are no square roots of probabilities: a negative number, or
    squares that do not sum to 1, but for what rounding to half precision does. NaN and infinity pass.
    """
    wide = points.astype(np.float32) if points.dtype.itemsize < 4 else points
    if (wide < 0).any():
        raise MarginError(
            f"{name} holds negative numbers: hellinger2 is between square roots of probabilities"
        )
    sums = np.einsum("ij,ij->i", wide, wide, dtype=np.float64)
    apart = np.abs(sums - 1)
    if (apart > ROUNDED).any():
        row = int(np.nanargmax(apart))
        themselves = abs(float(wide[row].sum(dtype=np.float64)) - 1) <= ROUNDED
        hint = f"give np.sqrt({name})" if themselves else "give the roots of whole distributions"
        raise MarginError(
            f"{name}: the squares of row {row + 1} sum to {sums[row]:.3g}, not to 1, and hellinger2 is "
            f"between square roots of probabilities: {hint}"
        )


def labels(values: ArrayLike | Sequence[object], name: str) -> NDArray[Any]:
    """An array (N,) of labels. MarginError where it is none, hides some behind a mask, or holds what can be
    no label, such as lists, or two that are written alike, such as 1 and "1".

    Labels of several kinds stay what they are: as text a missing one would be one more label, "nan".
    """
    values = _from_torch(values)
    if np.ma.is_masked(values):
        raise MarginError(f"{name} hides some of its labels behind a mask: leave those points out")
    try:
        array = np.asarray(values)
        array = np.asarray(values, dtype=object) if array.dtype.kind in "SU" else array
    except ValueError as error:
        raise MarginError(f"{name} is no list of labels: {words(error)}") from None
    if array.ndim != 1:
        raise MarginError(f"{name} must be a list of labels, one a point, got shape {array.shape}")
    try:
        different = set(array[pd.notna(array)].tolist()) if array.dtype == object else set()
    except TypeError as error:  # what has no hash
        raise MarginError(f"{name} holds what is no label: {words(error)}") from None
    if len(alike := [str(one) for one in different]) > len(set(alike)):
        twice = next(one for one in alike if alike.count(one) > 1)
        raise MarginError(f"{name} holds {brief(twice, 40)!r} as a text and as something else: take one")
    return array


def require_level(level: float, name: str = "level") -> None:
    """MarginError where a nominal coverage is none, or so near to 0 or 1 that it has no quantiles."""
    if not (isinstance(level, int | float | np.number) and 0 < level < 1):
        raise MarginError(f"{name} {level!r} is not a coverage probability: take a number between 0 and 1")
    if not 0.5 < (1 + float(level)) / 2 < 1:
        raise MarginError(f"{name} {level!r} has no quantiles in float64: take one further from 0 and 1")


def require_number(value: object, name: str, least: float = -np.inf, most: float = np.inf) -> None:
    """MarginError where something is no finite number from `least` to `most`."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not (number and np.isfinite(value) and least <= value <= most):  # type: ignore[operator,call-overload]
        where = f" from {least:g} to {most:g}" if np.isfinite([least, most]).all() else ""
        raise MarginError(f"{name} {shown(value)} makes no sense: take a number{where}")


def require_flag(value: object, name: str) -> None:
    """MarginError where something is neither True nor False."""
    if not isinstance(value, bool | np.bool_):
        raise MarginError(f"{name} {shown(value)}: take true or false")


def require_path(value: object, name: str, other: str = "") -> None:
    """MarginError where something is no path, or an empty one; `other` is what it may be besides."""
    if not isinstance(value, str | os.PathLike):
        raise MarginError(f"{name} must be a path{other}, got {type(value).__name__}")
    if not os.fspath(value):  # which Python would take for the folder this runs in
        raise MarginError(f"{name} is empty: give a path{other}")


def require_folder(value: str | os.PathLike[str], name: str, why: str) -> None:
    """MarginError, which says why, where an argument is no path, or that of something that is no folder."""
    require_path(value, name)
    if os.path.lexists(value) and not os.path.isdir(value):
        raise MarginError(f"{name} {shown(value)} is no folder: {why}")


def require_count(value: object, name: str, least: int = 0, other: str = "") -> None:
    """MarginError where something is no whole number from `least` on; `other` is what it may be besides."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise MarginError(f"{name} {shown(value)}: take a whole number from {least} on{other}")


def require_names(values: object, name: str) -> None:
    """MarginError where something is no list of texts; one text by itself is none."""
    listed = isinstance(values, Collection) and not isinstance(values, str | bytes | Mapping)
    if not listed or not all(isinstance(one, str) for one in values):  # type: ignore[attr-defined]
        raise MarginError(f"{name} must be a list of names, got {brief(repr(values), 40)}")


def _no_squares(largest: float, bound: float) -> bool:
    """Whether squares of such numbers overflow, or vanish; not of 0, NaN and infinity."""
    return bound < largest < np.inf or 0 < largest < 1 / bound


def _from_torch(values: Any) -> Any:
    """A tensor, or a list of such, as what NumPy can read; everything else as it is."""
    if isinstance(values, list | tuple) and any(hasattr(one, "detach") for one in values):
        return [_from_torch(one) for one in values]
    if not (hasattr(values, "detach") and hasattr(values, "cpu")):
        return values
    values = values.detach().cpu()
    try:
        return values.numpy()
    except TypeError:  # bfloat16 and smaller, which float32 holds exactly
        return values.float().numpy()
