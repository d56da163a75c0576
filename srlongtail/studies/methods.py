"""How far to trust a local attribution map: LAM beside other methods, by the same measures.

For an image file, see `srlongtail.studies.attribute_image.compare_image`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from srlongtail.attribution.methods import MethodComparison, compare_methods
from srlongtail.geometry import Box, Window
from srlongtail.models.catalog import subject_of
from srlongtail.models.facts import Subject
from srlongtail.models.sr_model import SRModel
from srlongtail.plots.attribution import N_EFF, plot_pixel_curves, show_attribution, zoom
from srlongtail.plots.images import mark_window
from srlongtail.plots.style import PAGE, letter
from srlongtail.studies.attribution import choose_window
from srlongtail.studies.restored import RestoredImage

# Okabe and Ito's palette; LAM is black.
_COLORS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7")
_MARGIN = 5  # LR pixels shown around the window


@dataclass(frozen=True)
class Methods:
    """Attributions of one target in one window by several methods.

    Attributes:
        subject: The network.
        image: Name of the image.
        photo: HR, `(3, H, W)`, or the enlarged LR image if there is no HR.
        scale: SR pixels per LR pixel.
        comparison: The attributions, and how far to trust them.
    """

    subject: Subject
    image: str
    photo: Tensor
    scale: int
    comparison: MethodComparison

    def frame(self) -> pd.DataFrame:
        """Return one row per method: spread, sums, and how far to trust it."""
        return self.comparison.frame()

    def settings(self) -> dict[str, Any]:
        """Return the window shown, and what the maps depend on."""
        lam = self.comparison.lam
        return {"image": self.image, "window": list(lam.window), "attribution": lam.settings}

    def message(self) -> str:
        """Return the result in one line."""
        curves = self.comparison.curves.query("kind == 'deletion'").groupby("method")
        orders = {
            "LAM": "in LAM's order",
            "distance to window": "by distance",
            "random": "at random",
        }
        shares = [
            f"{100 * _share_at_half(curves.get_group(name)):.1f}% {words}"
            for name, words in orders.items()
        ]
        return f"Share of LR pixels to blur until half of the target is gone: {', '.join(shares)}"

    def caption(self) -> str:
        """Return what the figure shows, in a few sentences."""
        row, column, size = self.comparison.lam.window
        lam = self.frame().set_index("method").loc["LAM"]
        off = lam["completeness_error"]
        return (
            f"The {size} x {size} window at row {row}, column {column} of {self.image} under "
            f"{self.subject.label}: attributions by several methods, each on its own color "
            f"scale (red increases the target, blue decreases it; dashes: by more than a tenth of "
            f"the scale), and the window's sum of gradients as LR pixels are blurred or sharpened "
            f"in their order (1: sharp image, 0: blurred; a mixture of both has edges of its own "
            f"and may exceed 1). LAM is {off:.1%} off completeness. Infidelity: 0 predicts every "
            f"change of the target, 1 none."
        )


def compute(
    model: SRModel, image: RestoredImage, window: Window | None = None, seed: int = 0
) -> Methods:
    """Attribute a window of an image by every method.

    Args:
        model: The network.
        image: The image.
        window: Row, column and size in SR pixels; default: the hardest window.
        seed: Seed of all random choices.
    """
    pair, window = image.pair, window or choose_window(image)[0]
    lr, sr = (values.to(model.device) for values in (pair.lr, image.output(model)))
    comparison = compare_methods(model, lr, window, seed=seed, sr=sr)
    return Methods(subject_of(model), pair.name, pair.hr, pair.scale, comparison)


def draw(result: Methods) -> Figure:
    """Draw one signed map per method above, and deletion and insertion curves below."""
    found = result.comparison
    colors = dict(zip(found.attributions, _COLORS, strict=True))
    figure = Figure(figsize=(PAGE, 4.3))
    figure.suptitle(result.message(), fontsize=8)
    grid = figure.add_gridspec(2, 1, height_ratios=[1.3, 2.2])
    maps = grid[0].subgridspec(1, len(colors))
    for index, name in enumerate(colors):
        _draw_map(result, name, figure.add_subplot(maps[index]), index)
    below = grid[1].subgridspec(1, 2)
    axes = [figure.add_subplot(below[column]) for column in range(2)]
    kinds = {"deletion": "lower is better", "insertion": "higher is better"}
    for index, (ax, (kind, aim)) in enumerate(zip(axes, kinds.items(), strict=True)):
        plot_pixel_curves(found.curves, ax, kind=kind, colors=colors)
        letter(ax, len(colors) + index, f"{kind}: {aim}")
    figure.legend(handles=list(axes[0].lines), loc="outside lower center", ncols=5)
    return figure


def _draw_map(result: Methods, name: str, ax: Axes, index: int) -> None:
    found = result.comparison
    signed = found.attributions[name].sum(0)
    part = Box.of(found.lam.window).to_lr(result.scale).grown(_MARGIN, *found.lam.canvas)
    show_attribution(signed, ax, result.scale, float(signed.abs().max()) or 1.0)
    zoom(mark_window(ax, found.lam.window, "black"), part, result.scale)
    letter(ax, index, name.replace(" gradient", "\ngradient").replace(" SHAP", "\nSHAP"))
    n_eff, infidelity = result.frame().set_index("method").loc[name, ["n_eff", "infidelity"]]
    ax.set_xlabel(f"{N_EFF} {n_eff:.1f}\ninfidelity {infidelity:.2f}", fontsize=7)
    if index == 0:
        ax.set_ylabel("red: increases target\nblue (dashes): decreases", fontsize=7)


def _share_at_half(curve: pd.DataFrame) -> float:
    """Return where a deletion curve first falls to a half, by linear interpolation."""
    shares, values = curve["share"].to_numpy(), curve["value"].to_numpy()
    after = int((values <= 0.5).argmax())  # not 0: the curve starts at 1 and ends at 0
    pair = slice(after - 1, after + 1)
    return float(np.interp(-0.5, -values[pair], shares[pair]))
