"""One look for every figure: a two-column paper's widths, its text sizes, and safe colours."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes

from srlongtail.models.catalog import CATALOG

COLUMN = 3.25  # inches, one column of a two-column paper
PAGE = 6.875  # inches, both columns

SEQUENTIAL = "viridis"  # AD and weights: grey prints of it keep the order
BICUBIC_GREY = "#8e8e8e"

# Okabe and Ito's palette, which readers with colour blindness can tell apart.
_NETWORK_COLORS = {
    "fsrcnn": "#0072B2",
    "carn": "#E69F00",
    "srresnet": "#009E73",
    "msrn": "#D55E00",
    "swinir": "#CC79A7",
    "bsrn": "#56B4E9",
}
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
    """A context in which figures look as a two-column paper wants them.

    >>> with paper_style():
    ...     mpl.rcParams["font.size"]
    7.0
    """
    with mpl.rc_context(_PAPER):
        yield
        # A notebook becomes interactive at its first figure, and must not lose that again.
        interactive = mpl.is_interactive()
    mpl.interactive(interactive)


def network_colors(names: Iterable[str]) -> dict[str, str]:
    """The colour of each model: one per network everywhere, bicubic grey, others in order.

    >>> network_colors(["bicubic", "fsrcnn-x4", "4x_FSRCNN_FPL"])
    {'bicubic': '#8e8e8e', 'fsrcnn-x4': '#0072B2', '4x_FSRCNN_FPL': '#0072B2'}
    """
    colors: dict[str, str] = {}
    for name in names:
        known = next((key for key in _NETWORK_COLORS if key in name.lower()), None)
        if name == "bicubic":
            colors[name] = BICUBIC_GREY
        elif known:
            colors[name] = _NETWORK_COLORS[known]
        else:
            free = [color for color in _OTHER_COLORS if color not in colors.values()]
            colors[name] = (free or _OTHER_COLORS)[0]
    return colors


def display_name(name: str) -> str:
    """What figures call a model: ours as in the paper, others by their name, shortened.

    >>> display_name("fsrcnn-fpl-x4"), display_name("004_lightweightSR_DIV2K_s64w8_SwinIR-S_x4")
    ('FSRCNN+FPL', '004_ligh…R-S_x4')
    """
    ours = re.fullmatch(r"([a-z]+)(-fpl|-skip)?-x\d(-degraded)?", name)
    if not ours or ours[1] not in CATALOG:
        return _shortened(name, 16)
    arm = {"-fpl": "+FPL", "-skip": "+skip"}.get(ours[2] or "", "")
    return CATALOG[ours[1]].label + arm


def line_style(name: str) -> LineStyle:
    """Dotted for bicubic, dashed for baselines, dash-dotted with the skip, solid with FPL.

    The arms of a network share its colour, and prints in grey have none.

    >>> line_style("fsrcnn-fpl-x4"), line_style("fsrcnn-x4")
    ('-', (0, (4, 1.5)))
    """
    if name == "bicubic":
        return _DOTTED
    if "fpl" in name.lower():
        return "-"
    return _DASH_DOTTED if "skip" in name.lower() else _DASHED


def letter(ax: Axes, index: int, text: str = "", *, columns: int = 1) -> Axes:
    """Title a panel as the paper does: (a), (b), ..., (z), (aa), ..., with what it shows.

    Args:
        ax: the panel.
        index: its number, from 0.
        text: what it shows.
        columns: how many panels share the page's width; titles of many are small and short.

    >>> import matplotlib.pyplot as plt
    >>> letter(plt.figure().add_subplot(), 1, "bicubic").get_title(loc="left")
    '(b) bicubic'
    """
    before, last = divmod(index, 26)
    label = f"{chr(ord('a') + before - 1) if before else ''}{chr(ord('a') + last)}"
    options: dict[str, Any] = {}
    if columns > _ROOMY:
        text, options = _shortened(text, 14), {"fontsize": 7}
    ax.set_title(f"({label}) {text}".rstrip(), loc="left", **options)
    return ax


def rows_and_columns(panels: int, widest: int = 6) -> tuple[int, int]:
    """A grid for panels, read row by row: as few rows as will do, of as equal length as may be.

    Args:
        panels: their number.
        widest: the most of them in a row.

    >>> rows_and_columns(6), rows_and_columns(8)
    ((1, 6), (2, 4))
    """
    rows = -(-panels // widest)
    return rows, -(-panels // rows)


def _shortened(text: str, longest: int) -> str:
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[2 - half :]}"
