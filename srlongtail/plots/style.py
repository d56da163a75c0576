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
BICUBIC_GREY = "#6e6e6e"

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
    "legend.handlelength": 1.8,
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
    {'bicubic': '#6e6e6e', 'fsrcnn-x4': '#0072B2', '4x_FSRCNN_FPL': '#0072B2'}
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
        return name if len(name) <= 16 else f"{name[:8]}…{name[-6:]}"
    arm = {"-fpl": "+FPL", "-skip": "+skip"}.get(ours[2] or "", "")
    return CATALOG[ours[1]].label + arm


def line_style(name: str) -> str:
    """Dashed for baselines, solid for bicubic and for FPL networks, which share their colour.

    >>> line_style("fsrcnn-fpl-x4"), line_style("fsrcnn-x4")
    ('-', '--')
    """
    return "-" if name == "bicubic" or "fpl" in name.lower() else "--"


def letter(ax: Axes, index: int, text: str = "") -> Axes:
    """Title a panel as the paper does: (a), (b), ..., with what it shows.

    >>> import matplotlib.pyplot as plt
    >>> letter(plt.figure().add_subplot(), 1, "bicubic").get_title(loc="left")
    '(b) bicubic'
    """
    ax.set_title(f"({chr(ord('a') + index)}) {text}".rstrip(), loc="left")
    return ax
