"""Attribution maps over photos. Maps are in LR pixels, photos in SR pixels; axes are in SR."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import CenteredNorm
from matplotlib.ticker import FuncFormatter
from torch import Tensor

from srlongtail.geometry import Box
from srlongtail.image.color import luma
from srlongtail.plots.images import outline, show_photo, without_ticks
from srlongtail.plots.style import SEQUENTIAL

DIVERGING = "RdBu_r"  # red: increases the target; blue: decreases it
WINDOW_COLOR = "#D55E00"
FIELD_COLOR = "#0072B2"

N_EFF = r"$n_\mathrm{eff}$"

# Dashes of the methods, in their order; the first line is solid.
_DASHES: list[tuple[int, ...]] = [
    (),
    (5, 1),
    (1, 1),
    (3, 1, 1, 1),
    (5, 1, 1, 1, 1, 1),
    (2, 1),
    (7, 2, 2, 2),
]
_BLIND_DASHES: dict[str, tuple[int, ...]] = {"random": (1, 2)}
_BLIND_COLOR = "0.45"


def show_attribution(signed: Tensor, ax: Axes, scale: int, limit: float) -> ScalarMappable:
    """Draw a signed map `(h, w)` on a diverging scale centerd at 0.

    Dashes mark pixels that decrease the target by more than a tenth of the scale, so that a gray
    print shows the sign.

    Args:
        signed: Attributions of LR pixels.
        ax: Where to draw.
        scale: SR pixels per LR pixel.
        limit: The end of the color scale on both sides; give it where maps share one scale.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> drawn = show_attribution(torch.eye(4), plt.figure().add_subplot(), scale=4, limit=1.0)
        >>> drawn.norm.vcenter, drawn.get_extent()
        (0, [-0.5, 15.5, 15.5, -0.5])
    """
    lowering = torch.nonzero(signed < -0.1 * limit, as_tuple=True)
    rows, columns = (scale * (places.cpu() + 0.5) - 0.5 for places in lowering)
    ax.hlines(rows, columns - 0.25 * scale, columns + 0.25 * scale, "black", linewidth=0.6)
    return _show_lr(signed, ax, scale, cmap=DIVERGING, norm=CenteredNorm(halfrange=limit))


def add_signed_colorbar(drawn: ScalarMappable, ax: Axes, label: str) -> Colorbar:
    """Draw a color bar into `ax`, open at both ends, with ticks at its ends and at 0.

    >>> import matplotlib.pyplot as plt
    >>> above, below = plt.figure().subplots(2)
    >>> drawn = show_attribution(torch.eye(4), above, scale=4, limit=0.125)
    >>> [text.get_text() for text in add_signed_colorbar(drawn, below, "sum").ax.get_xticklabels()]
    ['-0.12', '0', '+0.12']
    """
    bar = ax.figure.colorbar(
        drawn, cax=ax, orientation="horizontal", extend="both", extendfrac=0.04, label=label
    )
    _, limit = drawn.get_clim()
    bar.set_ticks([-limit, 0, limit], labels=[f"-{limit:.2g}", "0", f"+{limit:.2g}"])
    return bar


def show_grid(values: Tensor, ax: Axes, height: int, width: int, *, size: int, step: int) -> Any:
    """Draw a number of each window of a grid in its place over an image, on the sequential scale.

    Every window is drawn as a cell of `step` pixels around its center, so that overlapping windows
    can be told apart. NaN and the rim that no window reaches are hatched.

    Args:
        values: `(rows, columns)`, one number per window.
        ax: Where to draw.
        height, width: Of the SR image.
        size, step: Side and spacing of the windows, in SR pixels.

    Returns:
        What a color bar takes.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> ax = plt.figure().add_subplot()
        >>> show_grid(torch.rand(2, 3), ax, 32, 50, size=16, step=16).get_extent()
        [-0.5, 47.5, 31.5, -0.5]
    """
    rows, columns = values.shape
    start = (size - step) / 2 - 0.5
    numbers = np.ma.masked_invalid(values.cpu().numpy())
    ax.patch.set(hatch="////", facecolor="white", edgecolor="0.8")
    drawn = ax.imshow(
        numbers,
        cmap=SEQUENTIAL,
        interpolation="nearest",
        extent=(start, start + columns * step, start + rows * step, start),
    )
    without_ticks(ax).set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    return drawn


def plot_against_difficulty(
    difficulty: Sequence[float], numbers: Sequence[float], ax: Axes, label: str
) -> Axes:
    """Draw a number of each window against bicubic's mean AD in it, one point per window.

    Args:
        difficulty: Bicubic's mean AD in each window, in levels of 255; drawn on a log axis.
        numbers: One per window.
        ax: Where to draw.
        label: What the numbers are, with their unit.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> ax = plot_against_difficulty([1, 2], [30, 40], plt.figure().add_subplot(), "n")
        >>> ax.get_ylabel()
        'n'
    """
    ax.plot(difficulty, numbers, ".", color="#0072B2", markersize=3, markeredgewidth=0, alpha=0.6)
    ax.set(xscale="log", xlabel="bicubic's AD in the window (levels)", ylabel=label)
    ax.set_ylim(0, None)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return ax


def show_density(density: Tensor, photo: Tensor, ax: Axes, scale: int) -> ScalarMappable:
    """Lay a smooth map `(h, w)` in [0, 1] over a gray photo; where it is 0, the photo shows.

    >>> import matplotlib.pyplot as plt
    >>> ax = plt.figure().add_subplot()
    >>> show_density(torch.eye(4), torch.rand(3, 16, 16), ax, scale=4) in ax.images
    True
    """
    show_photo(luma(photo).expand(3, -1, -1), ax)
    opacity = density.clamp(0, 1).sqrt().mul(0.9).cpu().numpy()
    return _show_lr(density, ax, scale, cmap=SEQUENTIAL, vmin=0, vmax=1, alpha=opacity)


def show_attributed_pixels(mask: Tensor, photo: Tensor, ax: Axes, scale: int) -> Axes:
    """Show the LR pixels of a mask `(h, w)` in the photo's colors, the rest pale and gray.

    >>> import matplotlib.pyplot as plt
    >>> mask, photo = torch.eye(4, dtype=torch.bool), torch.rand(3, 16, 16)
    >>> show_attributed_pixels(mask, photo, plt.figure().add_subplot(), scale=4).get_title()
    ''
    """
    pale = 0.7 + 0.3 * luma(photo).expand(3, -1, -1)
    enlarged = mask.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    return show_photo(torch.where(enlarged, photo, pale), ax)


def mark_field(ax: Axes, field: Box, scale: int) -> Axes:
    """Outline the LR pixels that a window can depend on, dashed."""
    box = field.to_sr(scale)
    outline(ax, box, edgecolor="white", linewidth=1.8)
    return outline(ax, box, edgecolor=FIELD_COLOR, linewidth=1.1, linestyle=(0, (2, 1)))


def plot_pixel_curves(
    curves: pd.DataFrame, ax: Axes, *, kind: str, colors: Mapping[str, str]
) -> Axes:
    """Draw the target as pixels are blurred (deletion) or sharpened (insertion), a line per method.

    Args:
        curves: Tidy: `method, kind, share, value`.
        ax: Where to draw.
        kind: "deletion" or "insertion".
        colors: Method -> color; the first is drawn thick and solid, the others dashed, each in
            its way; orders of pixels without a color are gray.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> curves = pd.DataFrame(
        ...     {"method": "LAM", "kind": "deletion", "share": [0.0, 1.0], "value": [1.0, 0.0]}
        ... )
        >>> ax = plt.figure().add_subplot()
        >>> plot_pixel_curves(curves, ax, kind="deletion", colors={"LAM": "black"}).get_ylabel()
        'share of the target left'
    """
    names = list(colors)
    for name, curve in curves[curves["kind"] == kind].groupby("method", sort=False):
        dashes = _BLIND_DASHES.get(str(name), (4, 2))
        if name in colors:
            dashes = _DASHES[names.index(str(name)) % len(_DASHES)]
        (line,) = ax.plot(
            curve["share"],
            curve["value"],
            color=colors.get(str(name), _BLIND_COLOR),
            linewidth=2.2 if name == names[0] else 1.2,
            zorder=2 if name == names[0] else 3,
            label=name,
        )
        line.set_dashes(dashes)
    left, changed = {"deletion": ("left", "blurred"), "insertion": ("back", "sharpened")}[kind]
    ax.set_xscale("symlog", linthresh=0.01)
    ax.set(xlim=(0, 1), ylabel=f"share of the target {left}")
    ax.set_xlabel(f"LR pixels {changed}, share of the receptive field")
    ax.set_xticks([0, 0.01, 0.1, 1], labels=["0", "1%", "10%", "100%"])
    return ax


def zoom(ax: Axes, part: Box, scale: int) -> Axes:
    """Show a part of the LR image only."""
    shown = part.to_sr(scale)
    ax.set_xlim(shown.left - 0.5, shown.right - 0.5)
    ax.set_ylim(shown.bottom - 0.5, shown.top - 0.5)
    return ax


def _show_lr(values: Tensor, ax: Axes, scale: int, **options: Any) -> ScalarMappable:
    height, width = values.shape
    extent = (-0.5, width * scale - 0.5, height * scale - 0.5, -0.5)
    data = values.detach().cpu().double().numpy()
    drawn = ax.imshow(data, extent=extent, interpolation="nearest", **options)
    without_ticks(ax)
    return drawn
