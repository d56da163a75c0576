"""Photos, crops and maps: image pixels drawn as they are."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patches import Rectangle
from torch import Tensor

from srlongtail.attribution.target import Window
from srlongtail.plots.style import SEQUENTIAL


def show_photo(image: Tensor, ax: Axes) -> Axes:
    """Draw an image `(3, H, W)` in [0, 1], in true pixels.

    >>> import matplotlib.pyplot as plt, torch
    >>> show_photo(torch.rand(3, 8, 8), plt.figure().add_subplot()).images[0].get_interpolation()
    'nearest'
    """
    pixels = image.detach().cpu().clamp(0, 1).permute(1, 2, 0).numpy()
    ax.imshow(pixels, interpolation="nearest")
    return _without_ticks(ax)


def show_map(
    values: Tensor, ax: Axes, *, vmin: float = 0.0, vmax: float | None = None, log: bool = False
) -> ScalarMappable:
    """Draw a map `(H, W)` on the sequential scale; returns what `colorbar` takes.

    Args:
        values: AD in levels of 255, or weights.
        vmin, vmax: ends of the colour scale; give them where several maps share one scale.
        log: a logarithmic colour scale, for weights, which act by their ratio.
    """
    data = values.detach().cpu().double().numpy()
    top = float(np.max(data)) if vmax is None else vmax
    norm = LogNorm(vmin, top) if log else Normalize(vmin, top)
    drawn = ax.imshow(data, cmap=SEQUENTIAL, norm=norm, interpolation="nearest")
    _without_ticks(ax)
    return drawn


def scale_top(values: Tensor, share: float) -> float:
    """Where a colour scale ends: the few largest values may saturate, so that the rest is seen.

    Args:
        values: any shape and number; `torch.quantile` takes 16 million at most.
        share: of the values that the scale holds, 0 to 1.

    >>> import torch
    >>> scale_top(torch.arange(101.0), 0.9)
    90.0
    """
    return float(np.quantile(values.detach().cpu().numpy(), share))


def add_colorbar(drawn: ScalarMappable, ax: Axes, label: str) -> Colorbar:
    """A colour bar right of `ax` and as high, open above for values beyond the scale."""
    place = ax.inset_axes((1.05, 0, 0.06, 1))
    return ax.figure.colorbar(drawn, cax=place, extend="max", label=label)


def mark_window(ax: Axes, window: Window, color: str = "#D55E00") -> Axes:
    """Box a window `(row, col, size)` in a drawn image, with a white rim that shows on dark."""
    row, column, size = window
    for edge, width in (("white", 2.2), (color, 1.1)):
        box = Rectangle(
            (column - 0.5, row - 0.5), size, size, fill=False, edgecolor=edge, linewidth=width
        )
        ax.add_patch(box)
    return ax


def crop(image: Tensor, window: Window) -> Tensor:
    """The part of `(..., H, W)` inside a window.

    >>> import torch
    >>> crop(torch.rand(3, 10, 10), (2, 3, 4)).shape
    torch.Size([3, 4, 4])
    """
    row, column, size = window
    return image[..., row : row + size, column : column + size]


def _without_ticks(ax: Axes) -> Axes:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    return ax
