from __future__ import annotations

import re
import warnings
from io import BytesIO
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from margin.errors import MarginError, UnwritableError
from margin.figures import text
from margin.figures.save import rendered, save
from margin.figures.style import WIDTHS, figure, mode_looks, mode_order, style
from margin.figures.text import cjk_font, label


def drawing(title: str = "Margin") -> Figure:
    with style("paper"):
        fig = figure()
        ax = fig.add_subplot()
        ax.plot([0, 1], [0, 1])
        ax.set_title(label(title))
        return fig


@pytest.mark.parametrize("name", ["paper", "talk"])
def test_style_leaves_no_trace(name: str) -> None:
    before = dict(mpl.rcParams)
    with style(name):  # type: ignore[arg-type]
        assert dict(mpl.rcParams) != before
    assert dict(mpl.rcParams) == before


def test_paper_type_is_printable_at_column_width() -> None:
    with style("paper"):
        assert 7 <= mpl.rcParams["xtick.labelsize"] <= mpl.rcParams["font.size"] <= 9
        assert figure("double").get_figwidth() == WIDTHS["double"]
    with pytest.raises(ValueError, match="unknown"), style("poster"):  # type: ignore[arg-type]
        pass


def lightness(colour: str) -> float:
    """CIE L* of an sRGB colour: what is left of it in grey print."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    luminance = float(np.dot([0.2126, 0.7152, 0.0722], linear))
    found: float = 116 * luminance ** (1 / 3) - 16
    return found


def test_modes_can_be_told_apart_in_grey_and_without_colour() -> None:
    looks = mode_looks(["pos", "neg", "rej"])
    for a, b in combinations(looks.values(), 2):
        assert abs(lightness(a.colour) - lightness(b.colour)) > 15
    many = mode_looks(["pos", "neg", "rej", "pos@en", "pos@zh", "strict", "helper"])
    assert len({look.marker for look in many.values()}) == len(many)


def test_a_mode_looks_the_same_in_every_figure() -> None:
    assert mode_looks(["rej", "pos"])["pos"] == mode_looks(["neg", "pos", "zeta"])["pos"]
    assert mode_looks(["b", "a"]) == mode_looks(["a", "b", "a"])
    assert mode_looks(["pos@zh", "pos"])["pos@zh"].colour == mode_looks(["pos"])["pos"].colour
    assert mode_order(["z", "rej", "neg@en", "pos", "a"]) == ["pos", "neg@en", "rej", "a", "z"]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_figure_gives_the_same_bytes_without_a_date(tmp_path: Path, suffix: str) -> None:
    one, two = save(drawing(), tmp_path / f"one.{suffix}"), save(drawing(), tmp_path / f"two.{suffix}")
    assert one.read_bytes() == two.read_bytes()
    assert not re.search(rb"CreationDate|dc:date|tIME", one.read_bytes())
    assert [path.name for path in sorted(tmp_path.iterdir())] == [f"one.{suffix}", f"two.{suffix}"]


def test_pdf_embeds_truetype(tmp_path: Path) -> None:
    content = save(drawing(), tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content


def test_an_unwritable_target_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="suffix"):
        save(drawing(), tmp_path / "a.gif")
    with pytest.raises(UnwritableError, match=r"cannot write .*a\.png: make the folder .*none first"):
        save(drawing(), tmp_path / "none" / "a.png")
    with pytest.raises(UnwritableError, match=r"a\x00\.png: .*null"):
        save(drawing(), tmp_path / "a\0.png")
    with pytest.raises(UnwritableError, match="File name too long"):
        save(drawing(), tmp_path / f"{'a' * 300}.png")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.png").mkdir()
    with pytest.raises(MarginError, match=r"cannot write .*a\.png: it is a folder"):
        save(drawing(), tmp_path / "a.png")
    assert list(tmp_path.rglob("*")) == [tmp_path / "a.png"]
    (tmp_path / "b.png").symlink_to("/dev/full")
    with pytest.raises(MarginError, match=r"cannot write .*b\.png: No space left"):
        save(drawing(), tmp_path / "b.png")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("costs $5 or $6", r"costs \$5 or \$6"),
        ("two\nlines\tand\u202eturned", "two lines and turned"),
        ("a" * 40, "a" * 10 + "…" + "a" * 9),
    ],
)
def test_label_draws_a_name_as_it_stands(name: str, shown: str) -> None:
    assert label(name, width=20) == shown


@pytest.fixture
def no_cjk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_CJK_FONTS", ())


@pytest.mark.usefixtures("no_cjk")
def test_without_a_font_chinese_becomes_code_points_with_one_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        with style("paper"):
            fig = figure()
            for title in ("安全", "边界"):
                fig.add_subplot().set_title(label(title))
        save(fig, tmp_path / "a.png")
    assert len(caught) == 1
    assert "fonts-noto-cjk" in str(caught[0].message)
    assert fig.axes[0].get_title(loc="left") == "U+5B89 U+5168"


@pytest.mark.skipif(cjk_font() is None, reason="no CJK font installed")
def test_chinese_is_drawn_where_a_font_is_installed(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a glyph it misses
        save(drawing("安全边界"), tmp_path / "a.png")
        save(drawing("安全边界"), tmp_path / "a.pdf")


@pytest.mark.parametrize("dpi", [72, 96, 110, 150, 300])
@pytest.mark.parametrize("name", ["0.655 [0.647, 0.663]", "attack:role-play under pos"])
def test_no_name_is_cut_at_any_resolution(name: str, dpi: int) -> None:
    with style("paper"):
        fig = figure("single")
        ax = fig.add_subplot()
        ax.set_yticks([0, 1], [name, name])
    own = fig.dpi
    image = mpl.image.imread(BytesIO(rendered(fig, "png", dpi)))
    assert image[:, 0, :3].min() > 0.9  # nothing but paper at the edge
    assert fig.dpi == own
