"""Which LR pixels networks draw a window of their SR image from."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from torch import Tensor

from srlongtail.attribution.diffusion import attributed_pixels, density
from srlongtail.attribution.lam import AttributionMap, local_attribution
from srlongtail.attribution.windows import hardest_window
from srlongtail.geometry import Box, Window
from srlongtail.models.catalog import subjects_of
from srlongtail.models.facts import Subject
from srlongtail.models.sr_model import SRModel
from srlongtail.plots.attribution import (
    N_EFF,
    WINDOW_COLOR,
    add_signed_colorbar,
    mark_field,
    show_attributed_pixels,
    show_attribution,
    show_density,
    zoom,
)
from srlongtail.plots.images import mark_window, scale_top, show_photo
from srlongtail.plots.style import PAGE, letter
from srlongtail.studies.restored import RestoredImage

MASS = 0.95  # the share of a map that the attributed pixels hold
_LINE = 100  # characters of 8 pt that fit the page's width


@dataclass(frozen=True)
class WindowAttribution:
    """Local attribution maps of one window under some networks.

    Attributes:
        image: Its name.
        scale: SR pixels per LR pixel.
        photo: HR, `(3, H, W)`, or, where there is none, the enlarged LR image.
        photo_name: Which of the two it is, as figures say it.
        window: In SR pixels.
        rule: Why this window.
        maps: Network -> its map.
        restored: Network -> its SR image, `(3, H, W)`.
        attributed: Network -> the fewest LR pixels `(h, w)` that hold `MASS` of the absolute map.
        smooth: Network -> the density of the absolute map, `(h, w)` in [0, 1].
        subjects: What figures call the networks, by their names.
    """

    image: str
    scale: int
    photo: Tensor
    photo_name: str
    window: Window
    rule: str
    maps: Mapping[str, AttributionMap]
    restored: Mapping[str, Tensor]
    attributed: Mapping[str, Tensor]
    smooth: Mapping[str, Tensor]
    subjects: Mapping[str, Subject]

    @property
    def part(self) -> Box:
        """Return the LR pixels worth showing: all fields with a margin, as high as wide."""
        fields = [found.field for found in self.maps.values()]
        hull = Box(
            min(f.top for f in fields),
            min(f.left for f in fields),
            max(f.bottom for f in fields),
            max(f.right for f in fields),
        )
        height, width = next(iter(self.maps.values())).canvas
        side = min(max(hull.height, hull.width) + 2, height, width)
        top = min(max((hull.top + hull.bottom - side) // 2, 0), height - side)
        left = min(max((hull.left + hull.right - side) // 2, 0), width - side)
        return Box(top, left, top + side, left + side)

    def message(self) -> str:
        """Return the message of the figure, in one line."""
        counts = [
            f"{self.subjects[name].label} {found.n_eff:.1f}" for name, found in self.maps.items()
        ]
        return "Effective LR pixels that influence this window: " + ", ".join(counts)

    def frame(self) -> pd.DataFrame:
        """Return one row per network: the window, DI, n_eff and what they depend on."""
        tables = [found.frame().assign(image=self.image) for found in self.maps.values()]
        table = pd.concat(tables, ignore_index=True)
        table.insert(0, "model", list(self.maps))
        return table

    def settings(self) -> dict[str, Any]:
        """Return the window shown, the reason for it, and what the maps depend on."""
        return {
            "image": self.image,
            "window": list(self.window),
            "window_rule": self.rule,
            "attributed_share": MASS,
            "attribution": {name: found.settings for name, found in self.maps.items()},
        }

    def caption(self) -> str:
        """Return what the figure shows, in a few sentences."""
        row, column, size = self.window
        settings = next(iter(self.maps.values())).settings
        height, width = next(iter(self.maps.values())).canvas
        numbers = "; ".join(
            f"{self.subjects[name].label}: DI {found.diffusion_index:.2f}, "
            f"n_eff {found.n_eff:.1f}, {found.completeness_error:.1%} off completeness, "
            f"{found.nan_steps} NaN steps"
            for name, found in self.maps.items()
        )
        return (
            f"Local attribution of the {size} x {size} window at row {row}, column {column} of "
            f"{self.image} (x{self.scale}), {self.rule}. Red LR pixels raise the window's sum of "
            f"gradients along the path, blue ones lower it (dashes: by more than a tenth of the "
            f"scale, which all maps share; the largest values saturate). Dashed outline: the "
            f"receptive field. Attributed pixels: the fewest that hold {MASS:.0%} of the absolute "
            f"map. {numbers}. DI is in percent of a canvas of {height} x {width} LR pixels, n_eff "
            f"is that share in pixels. {settings['n_steps']} steps of "
            f"{settings['path']}; Gini offset {settings['gini_offset']:g}."
        )


def compute(
    models: Sequence[SRModel],
    image: RestoredImage,
    window: Window | None = None,
    *,
    photo_name: str = "HR",
    published: bool = False,
) -> WindowAttribution:
    """Attribute a window of an image, by default the hardest, under some networks."""
    pair = image.pair
    window, rule = (window, "as asked for") if window else choose_window(image)
    maps = {}
    for model in models:
        lr, sr = (values.to(model.device) for values in (pair.lr, image.output(model)))
        found = local_attribution(model, lr, window, published=published, sr=sr)
        maps[model.name] = replace(found, attributions=found.attributions.cpu())
    attributed = {name: attributed_pixels(found.absolute, MASS) for name, found in maps.items()}
    return WindowAttribution(
        image=pair.name,
        scale=pair.scale,
        photo=pair.hr,
        photo_name=photo_name,
        window=window,
        rule=rule,
        maps=maps,
        restored={model.name: image.sr(model) for model in models},
        attributed=attributed,
        smooth={name: density(found.absolute) for name, found in maps.items()},
        subjects=subjects_of(models),
    )


def choose_window(image: RestoredImage) -> tuple[Window, str]:
    """Return the hardest window of an image by bicubic's AD, and the reason in words."""
    window, share = hardest_window(image.bicubic_difference())
    return window, (
        f"the one with the largest share ({share:.0%}) of tail pixels, the tenth of the image's "
        f"pixels with the largest bicubic AD"
    )


def draw(result: WindowAttribution) -> Figure:
    """Draw a row for each network: photo, signed map, its smooth view, attributed pixels, SR.

    The signed maps share one color scale; its bar is below them.
    """
    rows = len(result.maps)
    figure = Figure(figsize=(PAGE, 0.6 + rows * (PAGE / 5 + 0.42)))
    figure.suptitle(textwrap.fill(result.message(), _LINE), fontsize=8)
    grid = figure.add_gridspec(rows + 1, 5, height_ratios=[*[1] * rows, 0.05])
    chosen = {
        name: found.signed.abs()[result.attributed[name]] for name, found in result.maps.items()
    }
    limit = max(scale_top(values, 0.9) if len(values) else 0 for values in chosen.values())
    for row, name in enumerate(result.maps):
        axes = [figure.add_subplot(grid[row, column]) for column in range(5)]
        drawn = _draw_row(result, name, axes, limit or 1.0, first=5 * row)
    add_signed_colorbar(drawn, figure.add_subplot(grid[rows, 1]), "sum of gradients")
    return figure


def _draw_row(
    result: WindowAttribution, name: str, axes: list[Axes], limit: float, first: int
) -> ScalarMappable:
    """Draw the panels of one network; returns what a color bar of its signed map takes."""
    found, scale, attributed = result.maps[name], result.scale, result.attributed[name]
    whole, signed, smooth, chosen, restored = axes
    show_photo(result.photo, whole)
    drawn = show_attribution(found.signed, signed, scale, limit)
    show_density(result.smooth[name], result.photo, smooth, scale)
    show_attributed_pixels(attributed, result.photo, chosen, scale)
    show_photo(result.restored[name], restored)
    texts = {
        f"{result.photo_name}, {result.image}": "window, receptive field",
        "LAM": "red: increases target\nblue (dashes): decreases",
        "KDE view": f"DI {found.diffusion_index:.2f}%, {N_EFF} {found.n_eff:.1f}",
        "attributed pixels": f"{MASS * 100:.0f}% in {int(attributed.sum())} LR pixels",
        "SR": result.subjects[name].label,
    }
    for index, (ax, (title, below)) in enumerate(zip(axes, texts.items(), strict=True)):
        letter(ax, first + index, title).set_xlabel(below)
        mark_window(ax, result.window, "black" if ax is signed else WINDOW_COLOR)
        if ax in (whole, signed):
            mark_field(ax, found.field, scale)
        if ax is not whole:
            zoom(ax, result.part, scale)
    whole.set_ylabel(result.subjects[name].label)
    return drawn
