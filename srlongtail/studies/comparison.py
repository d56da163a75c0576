"""Where one network gains over another."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.evaluation import check_scales, scorable
from srlongtail.geometry import Window
from srlongtail.image.dataset import ImagePair, ImageSet
from srlongtail.longtail.bands import LUCK_BETWEEN_NETWORKS
from srlongtail.longtail.comparison import (
    SHARE_OF_GAIN,
    WINDOW_STRIDE,
    Comparison,
    compare,
)
from srlongtail.metrics import PAPER
from srlongtail.models.catalog import subject_of
from srlongtail.models.facts import shortened
from srlongtail.models.sr_images import AnyModel, fit_to_images
from srlongtail.plots.comparison import (
    add_gain_colorbar,
    plot_frequencies,
    plot_image_gains,
    plot_orientations,
    plot_tenths,
    show_gain_map,
)
from srlongtail.plots.images import mark_window, show_photo
from srlongtail.plots.style import PAGE, letter
from srlongtail.studies.writing import counted, listed

ENOUGH = 10  # images; fewer give no verdict
_LINE = 115  # characters of 8 pt that fit the page's width


@dataclass(frozen=True)
class GainStudy:
    """Where B gains over A, on some data sets.

    Attributes:
        comparison: The numbers.
        scale: SR pixels per LR pixel.
        datasets: Name of each data set -> source of its LR images.
        labels: Names of A and B in the figure.
    """

    comparison: Comparison
    scale: int
    datasets: Mapping[str, str]
    labels: tuple[str, str]

    @classmethod
    def of(
        cls,
        a: Sequence[AnyModel],
        b: Sequence[AnyModel],
        datasets: Sequence[ImageSet],
        comparison: Comparison,
    ) -> "GainStudy":
        """Return a comparison together with what was compared, on which images.

        Args:
            a: Models of A.
            b: Models of B.
            datasets: The images.
            comparison: The numbers.
        """
        sources = {data.name: data.lr_source.short for data in datasets}
        return cls(comparison, datasets[0].scale, sources, _labels(a, b))

    def message(self) -> str:
        """Return the result in one or two lines."""
        a, b = self.labels
        gain, count = self.comparison.gain, len(self.comparison.images)
        # Small gains need a digit more.
        digits = 3 if max(map(abs, (gain.estimate, gain.low, gain.high))) < 0.1 else 2
        ends = (f"{end:+.{digits}f}" for end in (gain.low, gain.high))
        interval = f"95%: {' to '.join(ends)}" if count > 1 else "no interval"
        numbers = f"{gain.estimate:+.{digits}f} dB ({interval}, {counted(count, 'image')})"
        share = self.hardest_tenth()
        if not self.comparison.gains.any():
            return f"{b} and {a} restore all images alike"
        if count < ENOUGH:
            return f"{b} against {a}: {numbers}, too few images for a verdict; {share}"
        if gain.low <= 0 <= gain.high:
            smallest = self.comparison.smallest_detectable_gain_db
            return (
                f"{b} against {a}: {numbers} is not told from 0; these images could show a gain of "
                f"{smallest:.{digits}f} dB"
            )
        return f"{b} {'gains over' if gain.estimate > 0 else 'loses to'} {a}: {numbers}; {share}"

    def hardest_tenth(self) -> str:
        """Return the part of the gain in the hardest tenth of the pixels, ranked by gradient."""
        gain = self.comparison.gain.estimate
        parts = self.comparison.frame().query("by == 'gradient tenth' and part == '10'")
        tenth = float(parts["gain_db"].iloc[0])
        if gain and 0 <= tenth / gain <= 1:
            kind = "it" if gain > 0 else "the loss"
            return f"{tenth / gain:.0%} of {kind} in the hardest tenth of the pixels"
        return f"the hardest tenth of the pixels adds {tenth:+.2f} dB"

    def frame(self) -> pd.DataFrame:
        """Return the contribution of each part; see `Comparison.frame`."""
        return self.comparison.frame()

    def settings(self) -> dict[str, Any]:
        """Return what was compared, by which protocol, and what is shown."""
        return {
            "a": list(self.comparison.a),
            "b": list(self.comparison.b),
            "protocol": PAPER.name,
            "image": self.comparison.map.image,
            "window_stride": WINDOW_STRIDE,
        }

    def caption(self) -> str:
        """Return what the figure shows, and what its numbers mean, in a few sentences."""
        a, b = self.labels
        found, change = self.comparison, self.comparison.change
        gain, signs = found.gain, found.sign_test
        shown = found.map
        images = listed([f"{name} (LR {lr})" for name, lr in self.datasets.items()])
        sentences = [
            f"{self.message()}.",
            f"Gain in PSNR (RGB, {self.scale} pixels left out on each side) of {b} over {a} on "
            f"{images}; points are means over images, with 95% intervals over images "
            f"({gain.method}).",
            "The parts of each panel add up to the gain.",
            f"{signs.positive} images gain and {signs.negative} lose (sign test, two-sided: "
            f"p = {signs.p_value:.2g}).",
        ]
        if len(found.images) > 1:
            sentences.append(
                f"Without {found.strongest_image.image} the gain is "
                f"{found.gain_without_strongest_image:+.3f} dB; the smallest gain that so many "
                f"images of such spread show with 80% power (two-sided 5%) is "
                f"{found.smallest_detectable_gain_db:.3f} dB."
            )
        sentences.append(
            f"{change.pixels:.1%} of an image's pixels hold {SHARE_OF_GAIN:.0%} of all that "
            f"improves. Net over gross change is {change.net_to_gross:.2f} (1: no pixel gets "
            f"worse; 0: improvement and damage cancel)."
        )
        seeds = found.between_seeds
        if seeds:
            sentences.append(
                f"Between two seeds of one network the mean PSNR differs by {seeds.net_db:.3f} dB, "
                f"{seeds.pixels:.1%} of the pixels hold {SHARE_OF_GAIN:.0%} of what improves, and "
                f"net over gross change is {seeds.net_to_gross:.2f}."
            )
        else:
            sentences.append(
                "One checkpoint stands for each network: another seed may differ, and the "
                "intervals do not say by how much."
            )
        sentences.append(LUCK_BETWEEN_NETWORKS)
        sentences.append(
            f"Map of {shown.image}: blue pixels gain, orange ones lose; the map's mean is the "
            f"image's gain, and it is averaged over {self.scale} x {self.scale} pixels, with the "
            f"1% strongest beyond the color scale."
        )
        rank = found.rank_window()
        if rank:
            row, column, size = rank.window
            sentences.append(
                f"The {size} x {size} window at row {row}, column {column} of {rank.image} gains "
                f"{rank.gain.psnr_db:+.2f} dB, {rank.rarity}."
            )
        return " ".join(sentences)


def compute(
    a: Sequence[AnyModel],
    b: Sequence[AnyModel],
    datasets: Sequence[ImageSet],
    image: str | None = None,
    window: Window | None = None,
    *,
    skip_bad: bool = False,
) -> GainStudy:
    """Compare networks on data sets; under `torchrun`, the processes share the images.

    Args:
        a: The reference: one checkpoint, or several from different seeds.
        b: The networks to compare with it.
        datasets: The images, all of one scale.
        image: Name of the image to map; default: the one with the largest gain or loss.
        window: Row, column and size of a window of that image to rank, in SR pixels.
        skip_bad: Leave out images that are too small to be scored, with a warning.

    Raises:
        InputError: A model has another scale than the images, an image cannot be scored or is
            restored perfectly, there is no image of that name, or the window is not inside it.

    Example:
        >>> from srlongtail.image.dataset import photos
        >>> from srlongtail.models.sr_model import bicubic
        >>> compute([bicubic(4)], [bicubic(4)], [photos(4)[1:2]]).message()
        'bicubic and bicubic restore all images alike'
    """
    check_scales([*a, *b], datasets)
    datasets = [
        scorable(fit_to_images([*a, *b], data, skip_bad=skip_bad), PAPER, skip_bad=skip_bad)
        for data in datasets
    ]
    named = [image in data.names for data in datasets]
    if image is not None and not any(named):
        known = [name for data in datasets for name in data.names]
        raise InputError(f"no image {image!r}, expected one of {', '.join(known[:10])}")
    found = [
        compare(
            [_AsScored(model) for model in a],
            [_AsScored(model) for model in b],
            data,
            image=image if has_it else None,
            window=window,
        )
        for data, has_it in zip(datasets, named, strict=True)
    ]
    study = GainStudy.of(a, b, datasets, reduce(add, found))
    study.comparison.rank_window()  # an error for a window outside the image
    return study


def draw(result: GainStudy) -> Figure:
    """Draw the gain by image, tenth, orientation and frequency, and the signed map of one image."""
    found, parts = result.comparison, result.frame()
    figure = Figure(figsize=(PAGE, 4.6))
    lines = [textwrap.fill(line, _LINE) for line in result.message().split("; ")]
    figure.suptitle("\n".join(lines), fontsize=8)
    axes = figure.subplots(2, 3)
    (images, tenths, directions), (frequencies, photo, map_) = axes
    plot_image_gains(found, images)
    plot_tenths(parts, tenths)
    plot_orientations(parts, directions)
    plot_frequencies(parts, frequencies, result.scale)
    show_photo(found.map.hr.float() / 255, photo)
    drawn = show_gain_map(found.map, map_, result.scale)
    add_gain_colorbar(drawn, map_, f"dB (mean of the map: {found.map.gain_db.mean():+.2f})")
    if found.window:
        row, column, size = found.window
        for ax in (photo, map_):
            mark_window(ax, (row - found.map.border, column - found.map.border, size), "black")
    titles = ("images", "difficulty", "orientation", "frequency", f"HR, {found.map.image}", "map")
    for index, (ax, title) in enumerate(zip(axes.flat, titles, strict=True)):
        letter(ax, index, title)
    return figure


@dataclass(frozen=True)
class _AsScored:
    """A model that restores images in the protocol's tiles."""

    model: AnyModel

    @property
    def name(self) -> str:
        return self.model.name

    def restore_pair(self, pair: ImagePair) -> Tensor:
        tile = PAPER.tiling(self.model.architecture, pair.dataset)
        return self.model.restore_pair(pair, tile)


def _labels(a: Sequence[AnyModel], b: Sequence[AnyModel]) -> tuple[str, str]:
    """Return the name of each side in figures; equal labels are replaced by the models' names."""
    labels = [subject_of(side[0]).label for side in (a, b)]
    if labels[0] == labels[1] and a[0].name != b[0].name:
        labels = [shortened(side[0].name) for side in (a, b)]
    one, two = (
        label if len(side) == 1 else f"{label} ({len(side)} seeds)"
        for label, side in zip(labels, (a, b), strict=True)
    )
    return one, two
