"""Names given by users (modes, slices, prompt ids) made safe to draw, and fonts that can draw them."""

from __future__ import annotations

import unicodedata
import warnings

import matplotlib as mpl
from matplotlib import font_manager

# Fonts with TrueType outlines come first: matplotlib embeds them in a PDF as they are, while the CFF outlines
# of Noto and Source Han are embedded under a TrueType heading, which viewers mend but preflight checks
# complain of.
_CJK_FONTS = (
    "Microsoft YaHei",
    "PingFang SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "SimHei",
    "Arial Unicode MS",
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Noto Sans CJK JP",
    "Hiragino Sans GB",
)


def cjk_font() -> str | None:
    """Name of an installed font with Chinese characters, or None."""
    installed = set(font_manager.get_font_names())
    return next((name for name in _CJK_FONTS if name in installed), None)


def font_families() -> list[str]:
    """Families to draw with, first choice first: DejaVu Sans (ships with matplotlib), then a CJK font if
    there is one."""
    cjk = cjk_font()
    return ["DejaVu Sans"] if cjk is None else ["DejaVu Sans", cjk]


def one_line(name: object) -> str:
    """Text on one line; control and direction characters, and halves of pairs, become spaces."""
    unseen = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return " ".join("".join(" " if unicodedata.category(c) in unseen else c for c in str(name)).split())


def label(name: object, width: int = 28) -> str:
    """One line of at most `width` characters, a Chinese one counted as two, that draws `name` as it stands.

    Line breaks, control and direction characters become spaces, long names lose their middle, and a dollar
    sign stays one instead of starting a formula. Characters that no font of the current style has are written
    as code points (U+5B89) instead of empty boxes, with a warning that says what to install.
    """
    text = one_line(name)
    missing = _undrawable(text)
    if missing:
        # The text of the warning is always the same, so that Python's default filter shows it once.
        warnings.warn(
            "some names have characters that no font of the style has; their code points are drawn instead. "
            "Draw inside `with style(...)`, and install a font that has them (for Chinese: Debian's "
            "fonts-wqy-microhei or fonts-noto-cjk); matplotlib finds it once its font cache is deleted",
            stacklevel=2,
        )
        text = " ".join("".join(f" U+{ord(c):04X} " if c in missing else c for c in text).split())
    if _columns(text) > width:
        tail = (width - 1) // 2
        text = f"{_within(text, width - 1 - tail)}…{_within(text[::-1], tail)[::-1]}"
    return text.replace("$", r"\$")


def _columns(text: str) -> int:
    """Width of a text in usual characters: Chinese ones take the room of two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _within(text: str, width: int) -> str:
    """The longest beginning of a text that is no wider."""
    while _columns(text) > width:
        text = text[:-1]
    return text


def _undrawable(text: str) -> set[str]:
    """Characters that no font of matplotlib's current families has."""
    characters = {c for c in text if not c.isspace()}
    for family in mpl.rcParams["font.family"]:
        if characters:
            path = font_manager.findfont(font_manager.FontProperties(family=[family]))
            font = font_manager.get_font(path)
            characters = {c for c in characters if font.get_char_index(ord(c)) == 0}
    return characters
