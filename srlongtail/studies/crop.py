"""A crop side by side: the window that one network restores better than another."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch.nn.functional as F
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from srlongtail.geometry import Window, crop
from srlongtail.image.dataset import ImagePair
from srlongtail.image.io import quantize
from srlongtail.longtail.comparison import (
    WINDOW_STRIDE,
    WindowGain,
    WindowRank,
    window_gains,
)
from srlongtail.metrics import PAPER, Score
from srlongtail.models.catalog import subjects_of
from srlongtail.models.facts import Subject
from srlongtail.models.sr_model import SRModel
from srlongtail.plots.images import mark_window, show_photo
from srlongtail.plots.style import PAGE, letter, rows_and_columns

T = TypeVar("T")

SIZE = 72  # SR pixels: small enough to see single ones in print

_CROP_SCORE = replace(PAPER, border=0)  # a crop has no border to leave out


@dataclass(frozen=True)
class CropComparison:
    """An image, a window in it, what each model by its name makes of it, and how rare that is."""

    pair: ImagePair
    window: Window
    restored: dict[str, Tensor]
    rule: str
    subjects: Mapping[str, Subject]
    rank: WindowRank | None = None

    def scores(self) -> dict[str, Score]:
        """PSNR and SSIM of each model inside the window."""
        hr = crop(self.pair.hr, self.window)
        return {
            name: _CROP_SCORE.score(crop(sr, self.window), hr, self.pair.scale)
            for name, sr in self.restored.items()
        }

    def frame(self) -> pd.DataFrame:
        """One row a model: where the crop is, and its PSNR and SSIM there."""
        row, column, size = self.window
        rows = [
            (name, self.pair.dataset, self.pair.name, row, column, size, *score)
            for name, score in self.scores().items()
        ]
        names = ["model", "dataset", "image", "row", "col", "size", "psnr_db", "ssim"]
        return pd.DataFrame(rows, columns=names)

    def settings(self) -> dict[str, Any]:
        """The window shown, and by which rule among which windows it was chosen."""
        return {
            "image": self.pair.name,
            "window": list(self.window),
            "window_rule": self.rule,
            "window_step": WINDOW_STRIDE,
        }

    def caption(self) -> str:
        """What the figure shows, in one or two sentences."""
        row, column, size = self.window
        return (
            f"{self.pair.name} at x{self.pair.scale}: the {size} x {size} window at row {row}, "
            f"column {column}, {self.rule}. PSNR (dB, RGB) and SSIM (7 x 7 uniform) are those of "
            f"the window.{self._rarity()}"
        )

    def _rarity(self) -> str:
        """Whether the crop was cherry-picked, in a sentence."""
        if self.rank is None:
            return ""
        reference, last = _compared([subject.label for subject in self.subjects.values()])
        return (
            f" There {last} gains {self.rank.gain.psnr_db:+.2f} dB over {reference}, more than in "
            f"{self.rank.psnr_percentile:.1f}% of the {self.rank.windows:,} windows of this size "
            f"(every {WINDOW_STRIDE} pixels); squared error falls by more than in "
            f"{self.rank.squared_error_percentile:.1f}% of them."
        )


def compute(
    models: Sequence[SRModel], pairs: Iterable[ImagePair], window: Window | None = None
) -> CropComparison:
    """Restore the images and choose the window, unless one is given.

    The rule is the largest gain: the window, of all images, where the squared error of the last
    network lies furthest below that of the first one, or of bicubic where there is one network.
    Where bicubic is alone, it is the window with bicubic's largest error.

    Args:
        models: bicubic, then the networks.
        pairs: one image or more; with a window, the first one is shown.
        window: row, column and size in SR pixels.
    """
    subjects = subjects_of(models)
    best: tuple[float, CropComparison, WindowGain | None] | None = None
    every: list[tuple[int, NDArray[np.float64]]] = []  # with the windows' size
    for pair in pairs:
        restored = {model.name: quantize(model.restore(pair.lr)) for model in models}
        gain, found, rule = 0.0, window, "as asked for"
        if found is None:
            gain, found = _largest_gain(pair.hr, restored)
            rule = _rule(subjects)
        mine = None
        if len(restored) > 1:
            a, b = (_squared_levels(sr, pair.hr) for sr in _compared(list(restored.values())))
            every.append((found[2], window_gains([a], [b], found[2])))
            inside = window_gains([crop(a, found)], [crop(b, found)], found[2])
            mine = WindowGain(*inside[0].tolist())
        if best is None or gain > best[0]:
            best = gain, CropComparison(pair, found, restored, rule, subjects), mine
        if window is not None:
            break
    assert best is not None  # an image set is never empty
    _, shown, mine = best
    if mine is None:
        return shown
    alike = np.concatenate([gains for size, gains in every if size == shown.window[2]])
    rank = WindowRank.among(shown.pair.dataset, shown.pair.name, shown.window, mine, alike)
    return replace(shown, rank=rank)


def draw(result: CropComparison) -> Figure:
    """The whole image with the window boxed, then the window of HR and of each model."""
    crops = {"HR": result.pair.hr, **result.restored}
    rows, columns = rows_and_columns(len(crops), widest=5)
    # In crop widths: as high as the rows beside it, unless that left little room for the crops.
    whole_width = min(rows * result.pair.hr.shape[-1] / result.pair.hr.shape[-2], 2.0)
    height = rows * (PAGE / (whole_width + 1.08 * columns) + 0.42)
    figure = Figure(figsize=(PAGE, height))
    halves = figure.add_gridspec(1, 2, width_ratios=[whole_width, columns])
    whole = figure.add_subplot(halves[0])
    show_photo(result.pair.hr, whole)
    across = columns + round(whole_width)
    title = f"{result.pair.name} (x{result.pair.scale})"
    letter(mark_window(whole, result.window), 0, title, columns=across)
    grid = halves[1].subgridspec(rows, columns)
    scores = result.scores()
    for index, (name, image) in enumerate(crops.items(), start=1):
        ax = figure.add_subplot(grid[index - 1])
        show_photo(crop(image, result.window), ax)
        letter(ax, index, "HR" if name == "HR" else result.subjects[name].label, columns=across)
        below = "PSNR (dB) / SSIM"
        if name in scores:
            below = f"{scores[name].psnr_db:.2f} / {scores[name].ssim:.4f}"
        ax.set_xlabel(below)
    return figure


def _largest_gain(hr: Tensor, restored: dict[str, Tensor]) -> tuple[float, Window]:
    """The gain in mean squared error and the window where it is the largest."""
    errors = [(sr - hr).square().mean(0) for sr in _compared(list(restored.values()))]
    gain = errors[0] if len(errors) == 1 else errors[0] - errors[1]
    size = min(SIZE, *hr.shape[-2:])
    means = F.avg_pool2d(gain[None, None], size, stride=WINDOW_STRIDE)[0, 0]
    row, column = divmod(int(means.argmax()), means.shape[1])
    return float(means.max()), (row * WINDOW_STRIDE, column * WINDOW_STRIDE, size)


def _rule(subjects: Mapping[str, Subject]) -> str:
    names = _compared([subject.label for subject in subjects.values()])
    if len(names) == 1:
        return "where bicubic's error is the largest"
    return f"where {names[1]} gains the most over {names[0]}"


def _compared(of_models: list[T]) -> list[T]:
    """What is compared: the last network with the first, or with bicubic where it is alone."""
    if len(of_models) == 1:
        return of_models
    return [of_models[1] if len(of_models) > 2 else of_models[0], of_models[-1]]


def _squared_levels(sr: Tensor, hr: Tensor) -> Tensor:
    return (sr.double() - hr.double()).mul(255).square().mean(0).cpu()
