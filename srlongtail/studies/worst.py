"""The windows where a network fails or helps the most, picked by rule from all windows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
import pandas as pd
from torch import Tensor

from srlongtail.geometry import Window, crop
from srlongtail.image.io import quantize
from srlongtail.longtail.comparison import WINDOW_STRIDE, WindowCounts, window_gains
from srlongtail.metrics import Score
from srlongtail.models.sr_images import AnyModel
from srlongtail.models.sr_model import bicubic
from srlongtail.studies.crop import CROP_SCORE, SIZE
from srlongtail.studies.restored import RestoredImage

Rule = Literal["largest error", "largest loss against bicubic", "largest gain over bicubic"]


@dataclass(frozen=True)
class RuledWindow:
    """A window that a rule picked among all windows of all images.

    Attributes:
        model: Name of the network that it was picked for.
        rule: How it was picked.
        dataset, image: Where it is.
        window: Row, column and size in SR pixels.
        mse: The network's mean squared error (RGB) in the window, in levels squared.
        gain: Mean squared error of bicubic less that of the network, in levels squared.
        error_percentile: Percent of the windows with a smaller error; ties count half.
        gain_percentile: Percent of the windows with a smaller gain; ties count half.
        windows: Number of windows compared.
        crops: HR, bicubic and each network -> the window, `(3, size, size)`, in 256 levels.
        scores: Bicubic and each network -> PSNR and SSIM in the window.
    """

    model: str
    rule: Rule
    dataset: str
    image: str
    window: Window
    mse: float
    gain: float
    error_percentile: float = math.nan
    gain_percentile: float = math.nan
    windows: int = 0
    crops: Mapping[str, Tensor] = field(default_factory=dict)
    scores: Mapping[str, Score] = field(default_factory=dict)

    @property
    def sortable(self) -> float:
        """Return what the rule makes as large as possible, in levels squared."""
        if self.rule == "largest error":
            return self.mse
        return self.gain if self.rule == "largest gain over bicubic" else -self.gain

    def rank(self) -> str:
        """Return how hard such a window is and how rare its gain, in words."""
        return (
            f"of the {self.windows:,} windows of {self.window[2]} x {self.window[2]} pixels, "
            f"{self.error_percentile:.1f}% have a smaller error and {self.gain_percentile:.1f}% a "
            f"smaller gain over bicubic"
        )

    def frame(self) -> pd.DataFrame:
        """Return one row per model: where the window is, and its PSNR and SSIM there."""
        row, column, size = self.window
        rows = [
            (self.rule, self.model, self.dataset, self.image, row, column, size, name, *score)
            for name, score in self.scores.items()
        ]
        names = ("rule", "picked_for", "dataset", "image", "row", "col", "size", "model")
        return pd.DataFrame(rows, columns=[*names, "psnr_db", "ssim"])


class WorstWindows:
    """Look for the windows of each rule, image by image; only crops and counts are kept.

    Windows lie `WINDOW_STRIDE` SR pixels apart and are 72 pixels wide, or as wide as the smaller
    side of an image; a window is compared with all windows of its size. Errors are squared, RGB,
    of the image as stored. Searches over different images add up.

    Args:
        models: Bicubic, then the networks; each network has windows of its own.

    Example:
        >>> from srlongtail.image.dataset import photos
        >>> from srlongtail.models.sr_model import matlab_bicubic
        >>> search = WorstWindows([bicubic(4), matlab_bicubic(4)])
        >>> search.add(RestoredImage(photos(4)[1]))
        >>> [found.rule for found in search.result()]
        ['largest error', 'largest loss against bicubic', 'largest gain over bicubic']
    """

    def __init__(self, models: Sequence[AnyModel]) -> None:
        self.models = [model for model in models if model.name != "bicubic"]
        self._best: dict[tuple[str, Rule], RuledWindow] = {}
        self._every: dict[tuple[str, int], WindowCounts] = {}  # of error and gain

    def __add__(self, other: "WorstWindows") -> "WorstWindows":
        total = WorstWindows(self.models)
        for part in (self, other):
            for key, counts in part._every.items():
                total._every[key] = total._every.get(key, WindowCounts()) + counts
            for found in part._best.values():
                if total._improves(found):
                    total._best[found.model, found.rule] = found
        return total

    def add(self, image: RestoredImage) -> None:
        """Look at an image."""
        models = [bicubic(image.pair.scale), *self.models]
        hr = image.pair.hr
        outputs = {model.name: quantize(image.sr(model)) for model in models}
        errors = {
            name: (sr.double() - hr.double()).mul(255).square().mean(0).cpu().numpy()
            for name, sr in outputs.items()
        }
        size = min(SIZE, *hr.shape[-2:])
        columns = (hr.shape[-1] - size) // WINDOW_STRIDE + 1
        for model in self.models:
            error = errors[model.name]
            # Equal windows must tie, whatever the order of their sums.
            mse = window_gains([error], [np.zeros_like(error)], size)[:, 1].round(6)
            gain = window_gains([errors["bicubic"]], [error], size)[:, 1].round(6)
            counts = self._every.setdefault((model.name, size), WindowCounts())
            counts.add(np.stack([mse, gain], -1))
            picks = (mse.argmax(), gain.argmin(), gain.argmax())
            for rule, index in zip(get_args(Rule), picks, strict=True):
                row, column = divmod(int(index), columns)
                window = (row * WINDOW_STRIDE, column * WINDOW_STRIDE, size)
                place = (image.pair.dataset, image.pair.name, window)
                found = RuledWindow(model.name, rule, *place, float(mse[index]), float(gain[index]))
                if self._improves(found):
                    crops = {"HR": hr, **outputs}
                    crops = {name: crop(pixels, window).clone() for name, pixels in crops.items()}
                    scores = {
                        name: CROP_SCORE.score(crops[name], crops["HR"], image.pair.scale)
                        for name in outputs
                    }
                    self._best[found.model, rule] = replace(found, crops=crops, scores=scores)

    def result(self) -> list[RuledWindow]:
        """Return the windows, network by network; a rule that no window fulfills has none.

        There is no largest loss where a network is nowhere worse than bicubic, nor a largest gain
        where it is nowhere better.
        """
        found = []
        for best in self._best.values():
            every = self._every[best.model, best.window[2]]
            if best.rule == "largest error" or best.sortable > 0:
                error, gain = every.percentiles((best.mse, best.gain))
                ranked = replace(
                    best, error_percentile=error, gain_percentile=gain, windows=every.windows
                )
                found.append(ranked)
        order = [model.name for model in self.models]
        return sorted(found, key=lambda w: (order.index(w.model), get_args(Rule).index(w.rule)))

    def _improves(self, found: RuledWindow) -> bool:
        key = found.model, found.rule
        return key not in self._best or found.sortable > self._best[key].sortable
