"""A crop side by side: the window that one network restores better than another."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pandas as pd
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from srlongtail.geometry import Window, crop
from srlongtail.image.dataset import ImagePair
from srlongtail.image.io import quantize
from srlongtail.longtail.comparison import (
    WINDOW_STRIDE,
    WindowCounts,
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
from srlongtail.studies.restored import RestoredImage

T = TypeVar("T")

SIZE = 72  # SR pixels: small enough to see single ones in print

CROP_SCORE = replace(PAPER, border=0)  # a crop has no border to leave out


@dataclass(frozen=True)
class CropComparison:
    """An image, a window in it, what each model makes of it, and how rare that is.

    Attributes:
        pair: The image.
        window: Row, column and size in SR pixels.
        asked_for: Whether the user named the window; otherwise it is that of the largest gain.
        crops: Model -> the window of its SR image, in 256 levels.
        scores: Model -> PSNR and SSIM inside the window.
        subjects: What figures call the models, by their names.
        rank: Of the window's gain among all windows of its size; None where bicubic is alone.
    """

    pair: ImagePair
    window: Window
    asked_for: bool
    crops: Mapping[str, Tensor]
    scores: Mapping[str, Score]
    subjects: Mapping[str, Subject]
    rank: WindowRank | None = None

    @property
    def rule(self) -> str:
        """Why this window."""
        if self.asked_for:
            return "as asked for"
        names = _compared([subject.label for subject in self.subjects.values()])
        if len(names) == 1:
            return "where bicubic's error is the largest"
        return f"where {names[1]} gains the most over {names[0]}"

    def frame(self) -> pd.DataFrame:
        """Return one row per model: where the crop is, and its PSNR and SSIM there."""
        row, column, size = self.window
        rows = [
            (name, self.pair.dataset, self.pair.name, row, column, size, *score)
            for name, score in self.scores.items()
        ]
        names = ["model", "dataset", "image", "row", "col", "size", "psnr_db", "ssim"]
        return pd.DataFrame(rows, columns=names)

    def settings(self) -> dict[str, Any]:
        """Return the window shown, and the rule and the windows it was chosen by."""
        return {
            "image": self.pair.name,
            "window": list(self.window),
            "window_rule": self.rule,
            "window_step": WINDOW_STRIDE,
        }

    def caption(self) -> str:
        """Return what the figure shows, in one or two sentences."""
        row, column, size = self.window
        return (
            f"{self.pair.name} at x{self.pair.scale}: the {size} x {size} window at row {row}, "
            f"column {column}, {self.rule}. PSNR (dB, RGB) and SSIM (7 x 7 uniform) are those of "
            f"the window.{self._rarity()}"
        )

    def _rarity(self) -> str:
        """Return whether the crop was cherry-picked, in a sentence."""
        if self.rank is None:
            return ""
        reference, last = _compared([subject.label for subject in self.subjects.values()])
        gain = f"{self.rank.gain.psnr_db:+.2f} dB"
        return f" There {last} gains {gain} over {reference}, {self.rank.rarity}."


def compute(
    models: Sequence[SRModel], images: Iterable[RestoredImage], window: Window | None = None
) -> CropComparison:
    """Choose a window of one of the images, unless one is given, and compare models in it.

    Args:
        models: Bicubic, then the networks.
        images: One or more.
        window: Row, column and size in SR pixels; it is that of the first image.
    """
    search = Search(models, window)
    for image in images:
        search.add(image)
        if window is not None:
            break
    return search.result()


class Search:
    """Look for the window of the largest gain, image by image; only the best image is kept.

    Memory does not grow with the number of images: the gains of windows are counted in bins.

    The gain in mean squared error is that of the last network over the first one, or over bicubic
    where there is one network. Where bicubic is alone, its error is taken instead.

    Args:
        models: Bicubic, then the networks.
        window: The one to compare models in, if it is known.
    """

    def __init__(self, models: Sequence[SRModel], window: Window | None = None) -> None:
        self.models = models
        self.window = window
        self._best: tuple[float, RestoredImage, Window, WindowGain | None] | None = None
        self._every: dict[int, WindowCounts] = {}  # by the windows' size

    def add(self, image: RestoredImage) -> None:
        """Look at an image."""
        hr = image.pair.hr
        compared = [quantize(image.sr(model)) for model in _compared(list(self.models))]
        gain, window = (0.0, self.window) if self.window else _largest_gain(hr, compared)
        mine = None
        if len(compared) > 1:
            a, b = ((sr.double() - hr.double()).mul(255).square().mean(0) for sr in compared)
            counts = self._every.setdefault(window[2], WindowCounts())
            counts.add(window_gains([a], [b], window[2]))
            inside = window_gains([crop(a, window)], [crop(b, window)], window[2])
            mine = WindowGain(*inside[0].tolist())
        if self._best is None or gain > self._best[0]:
            self._best = gain, image, window, mine

    def result(self) -> CropComparison:
        """Return the comparison in the window found, or given."""
        assert self._best is not None  # an image set is never empty
        _, image, window, mine = self._best
        pair, hr = image.pair, crop(image.pair.hr, window)
        crops = {m.name: crop(quantize(image.sr(m)), window) for m in self.models}
        rank = None
        if mine is not None:
            alike = self._every[window[2]]
            rank = WindowRank.among(pair.dataset, pair.name, window, mine, alike)
        return CropComparison(
            pair=pair,
            window=window,
            asked_for=self.window is not None,
            crops=crops,
            scores={name: CROP_SCORE.score(sr, hr, pair.scale) for name, sr in crops.items()},
            subjects=subjects_of(self.models),
            rank=rank,
        )


def draw(result: CropComparison) -> Figure:
    """Draw the whole image with the window boxed, then the window of HR and of each model."""
    crops = {"HR": crop(result.pair.hr, result.window), **result.crops}
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
    for index, (name, image) in enumerate(crops.items(), start=1):
        ax = figure.add_subplot(grid[index - 1])
        show_photo(image, ax)
        letter(ax, index, "HR" if name == "HR" else result.subjects[name].label, columns=across)
        below = "PSNR (dB) / SSIM"
        if name in result.scores:
            below = f"{result.scores[name].psnr_db:.2f} / {result.scores[name].ssim:.4f}"
        ax.set_xlabel(below)
    return figure


def _largest_gain(hr: Tensor, compared: Sequence[Tensor]) -> tuple[float, Window]:
    """Return the largest gain in mean squared error, and its window."""
    errors = [(sr - hr).square().mean(0) for sr in compared]
    gain = errors[0] if len(errors) == 1 else errors[0] - errors[1]
    size = min(SIZE, *hr.shape[-2:])
    means = F.avg_pool2d(gain[None, None], size, stride=WINDOW_STRIDE)[0, 0]
    row, column = divmod(int(means.argmax()), means.shape[1])
    return float(means.max()), (row * WINDOW_STRIDE, column * WINDOW_STRIDE, size)


def _compared(of_models: list[T]) -> list[T]:
    """Return what is compared: the last network with the first, or with bicubic if it is alone."""
    if len(of_models) == 1:
        return of_models
    return [of_models[1] if len(of_models) > 2 else of_models[0], of_models[-1]]
