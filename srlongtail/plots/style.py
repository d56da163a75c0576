"""The style of all figures: widths and text sizes of a two-column paper, and safe colors."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from srlongtail.models.facts import Subject, shortened

if TYPE_CHECKING:  # slow to import, and only drawing needs it
    import matplotlib.axes

COLUMN = 3.25  # inches, one column of a two-column paper
PAGE = 6.875  # inches, both columns

SEQUENTIAL = "viridis"  # for AD and weights; keeps the order in gray prints
BICUBIC_GRAY = "#8e8e8e"

# Okabe and Ito's palette, safe for color-blind readers.
_NETWORK_COLORS = {
    "fsrcnn": "#0072B2",
    "carn": "#E69F00",
    "srresnet": "#009E73",
    "msrn": "#D55E00",
    "swinir": "#CC79A7",
    "bsrn": "#56B4E9",
}
_COLORS = {"bicubic": BICUBIC_GRAY, **_NETWORK_COLORS}
_OTHER_COLORS = ("#000000", "#B8A800", *_NETWORK_COLORS.values())

_ROOMY = 5  # panels in a row of the page's width that titles of full size fit

LineStyle = str | tuple[int, tuple[float, ...]]

_DOTTED: LineStyle = (0, (1, 1))
_DASHED: LineStyle = (0, (4, 1.5))
_DASH_DOTTED: LineStyle = (0, (5, 1.2, 1, 1.2))

_PAPER: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib, so figures are the same anywhere
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.titlepad": 3,
    "axes.labelpad": 2,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.6,  # two dashes and more
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "image.interpolation": "none",
    "pdf.fonttype": 42,  # TrueType, embedded: publishers refuse matplotlib's default Type 3
    "figure.constrained_layout.use": True,
}


@contextmanager
def paper_style() -> Iterator[None]:
    """Return a context in which figures have the style of a two-column paper.

    >>> with paper_style():
    ...     mpl.rcParams["font.size"]
    7.0
    """
    with mpl.rc_context(_PAPER):
        yield
        # A notebook becomes interactive at its first figure, and must not lose that again.
        interactive = mpl.is_interactive()
    mpl.interactive(interactive)


def settings() -> dict[str, str]:
    """Return all of matplotlib's settings in this style, also those that it leaves to the user.

    >>> settings()["font.size"]
    '7.0'
    """
    with paper_style():
        # To ask for the backend is to import it, and the contents of files do not depend on it.
        return {key: str(mpl.rcParams[key]) for key in mpl.rcParams if "backend" not in key}


def font_files() -> list[str]:
    """Return the files of this style's fonts; another version may be installed on this machine.

    >>> any(file.endswith("DejaVuSans.ttf") for file in font_files())
    True
    """
    from matplotlib.font_manager import fontManager

    families = _PAPER["font.sans-serif"]
    return sorted({font.fname for font in fontManager.ttflist if font.name in families})


def network_colors(subjects: Iterable[Subject]) -> dict[str, str]:
    """Return the color of each model by name: a network has one color everywhere, bicubic is gray.

    Networks that are not in the catalog take the other colors in order.

    >>> network_colors([Subject("mine", "FSRCNN+FPL", "fsrcnn"), Subject("new", "new")])
    {'mine': '#0072B2', 'new': '#000000'}
    """
    colors: dict[str, str] = {}
    for subject in subjects:
        free = [color for color in _OTHER_COLORS if color not in colors.values()]
        known = _COLORS.get(subject.architecture)
        colors[subject.name] = known or (free or _OTHER_COLORS)[0]
    return colors


def line_style(subject: Subject) -> LineStyle:
    """Return dotted for bicubic, dashed for baselines, dash-dotted for parts of FPL, solid for FPL.

    The arms of a network share its color, so the line style tells them apart.

    >>> line_style(Subject("mine", "FSRCNN+FPL", "fsrcnn", arm="FPL"))
    '-'
    """
    if subject.architecture == "bicubic":
        return _DOTTED
    return {"FPL": "-", "baseline": _DASHED}.get(subject.arm, _DASH_DOTTED)


def letter(ax: "mpl.axes.Axes", index: int, text: str = "", *, columns: int = 1) -> "mpl.axes.Axes":
    """Title a panel as the paper does: (a), (b), ..., (z), (aa), ..., followed by a text.

    Args:
        ax: The panel.
        index: Its number, from 0.
        text: What it shows.
        columns: How many panels share the page's width; titles of many are small and short.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> letter(plt.figure().add_subplot(), 1, "bicubic").get_title(loc="left")
        '(b) bicubic'
    """
    before, last = divmod(index, 26)
    label = f"{chr(ord('a') + before - 1) if before else ''}{chr(ord('a') + last)}"
    options: dict[str, Any] = {}
    if columns > _ROOMY:
        text, options = shortened(text, 14), {"fontsize": 7}
    ax.set_title(f"({label}) {text}".rstrip(), loc="left", **options)
    return ax


def rows_and_columns(panels: int, widest: int = 6) -> tuple[int, int]:
    """Return the grid with the fewest rows for some panels, with rows as equal as possible.

    Args:
        panels: Their number.
        widest: The most of them in a row.

    Example:
        >>> rows_and_columns(6), rows_and_columns(8)
        ((1, 6), (2, 4))
    """
    rows = -(-panels // widest)
    return rows, -(-panels // rows)
