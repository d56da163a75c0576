"""Photos, crops and maps: image pixels drawn as they are."""

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patches import Rectangle
from torch import Tensor

from srlongtail.geometry import Box, Window
from srlongtail.plots.style import SEQUENTIAL


def show_photo(image: Tensor, ax: Axes) -> Axes:
    """Draw an image `(3, H, W)` in [0, 1], in true pixels.

    >>> import matplotlib.pyplot as plt, torch
    >>> show_photo(torch.rand(3, 8, 8), plt.figure().add_subplot()).images[0].get_interpolation()
    'nearest'
    """
    pixels = image.detach().cpu().clamp(0, 1).permute(1, 2, 0).numpy()
    ax.imshow(pixels, interpolation="nearest")
    return without_ticks(ax)


def show_map(
    values: Tensor, ax: Axes, *, vmin: float = 0.0, vmax: float | None = None, log: bool = False
) -> ScalarMappable:
    """Draw a map `(H, W)` on the sequential scale; return what `colorbar` takes.

    Args:
        values: AD in levels of 255, or weights.
        vmin, vmax: Ends of the color scale; give them where several maps share one scale.
        log: A logarithmic color scale, for weights, which act by their ratio.
    """
    data = values.detach().cpu().double().numpy()
    top = float(np.max(data)) if vmax is None else vmax
    norm = LogNorm(vmin, top) if log else Normalize(vmin, top)
    drawn = ax.imshow(data, cmap=SEQUENTIAL, norm=norm, interpolation="nearest")
    without_ticks(ax)
    return drawn


def scale_top(values: Tensor, share: float) -> float:
    """Return the end of a color scale beyond which the few largest values saturate.

    Args:
        values: Any shape and number; `torch.quantile` takes 16 million at most.
        share: Of the values that the scale holds, 0 to 1.

    Example:
        >>> import torch
        >>> scale_top(torch.arange(101.0), 0.9)
        90.0
    """
    return float(np.quantile(values.detach().cpu().numpy(), share))


def add_colorbar(
    drawn: ScalarMappable, ax: Axes, label: str, *, extend: Literal["max", "neither"] = "max"
) -> Colorbar:
    """Draw a color bar to the right of `ax`, as high as `ax`; by default it is open above."""
    place = ax.inset_axes((1.05, 0, 0.06, 1))
    return ax.figure.colorbar(drawn, cax=place, extend=extend, label=label)


def mark_window(ax: Axes, window: Window, color: str = "#D55E00") -> Axes:
    """Box a window `(row, col, size)` in a drawn image, with a white rim that shows on dark."""
    outline(ax, Box.of(window), edgecolor="white", linewidth=2.2)
    return outline(ax, Box.of(window), edgecolor=color, linewidth=1.1)


def outline(ax: Axes, box: Box, **style: Any) -> Axes:
    """Draw the edge of a box of SR pixels; `style` is that of matplotlib's `Rectangle`."""
    place = (box.left - 0.5, box.top - 0.5)  # a pixel's center has the whole number
    ax.add_patch(Rectangle(place, box.width, box.height, fill=False, **style))
    return ax


def without_ticks(ax: Axes) -> Axes:
    """Remove ticks and spines."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    return ax
