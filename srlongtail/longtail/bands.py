"""Error in the tenths of the pixels, from the easiest to the hardest, image by image.

The pixels are ranked by a measure that no network under study has a say in (see `tail.py`). The
default, the gradient magnitude of HR, is fair to all models. Bicubic's AD is unfair to whatever is
compared with bicubic, and not strictly neutral between two networks (`LUCK_BETWEEN_NETWORKS`):

**The luck trap.** The tenth of the pixels with the smallest bicubic AD is the tenth where bicubic
happened to be right. Any other estimate, however good, is less lucky there (regression to the
mean), so every network seems worse than bicubic in the four or five easiest tenths by AD, and in
six or seven by squared error. Ranked by the gradient, networks are better than bicubic in all
tenths; one that predicts the whole image may be worse in the easiest, as `fsrcnn-x4` is on the
photos. Whoever shows bicubic ranked by its own AD prints `LUCK_TRAP`; `BandTable.caution` returns
it where it applies.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.image.dataset import ImagePair
from srlongtail.image.resample import upsample_bicubic
from srlongtail.longtail.difference import EDGES, DifferenceHistogram, absolute_difference
from srlongtail.longtail.restorers import PairRestorer, Restorer, map_pairs, restorers_by_name
from srlongtail.longtail.tail import (
    HEAD,
    TAIL,
    TENTHS,
    Difficulty,
    Ranking,
    difficulty,
    pooled_edges,
    tenth_by_edges,
    tenth_of_pixels,
)
from srlongtail.stats import mean_interval

LUCK_TRAP = (
    "Pixels are ranked by bicubic's own AD, which selects the pixels where bicubic was lucky: "
    "every other model looks worse than it is beside bicubic in the easy tenths. Ranked by the "
    "gradient of HR, bicubic and networks compare fairly."
)
LUCK_BETWEEN_NETWORKS = (
    "Pixels ranked by bicubic's AD are ranked by bicubic's luck, too: among the easy ones, which "
    "bicubic happened to get right, the network that departs more from bicubic looks worse. A "
    "ranking by the gradient of HR is free of this."
)
Measure = Literal["ad_levels", "squared_error"]
_IMAGE = ["model", "dataset", "image"]


@dataclass(frozen=True)
class BandTable:
    """The error of models in the tenths of the pixels; tables of different images add up.

    Attributes:
        rows: One row per model, image and tenth, columns `model, dataset, image, tenth, pixels,
            ad_levels, squared_error`. Tenth 1 is the easiest. `ad_levels` is the mean AD of luma
            over the tenth's pixels, in levels of 255; `squared_error` the mean of its square.
            Both are NaN where an image has no pixel in a pooled tenth.
        ranked_by: "gradient", "bicubic_ad", or the name of the function given.
        pooled: Whether the tenths are those of all pixels of the data set, or of each image.
    """

    rows: pd.DataFrame
    ranked_by: str
    pooled: bool = False

    def __post_init__(self) -> None:
        again = self.rows.duplicated([*_IMAGE, "tenth"])
        if again.any():
            model, dataset, image = self.rows.loc[again, _IMAGE].iloc[0]
            raise InputError(f"{dataset or 'images'}: two of {image} for {model}, expected one")

    def frame(self) -> pd.DataFrame:
        """Return one row per model, image and tenth."""
        return self.rows

    def __add__(self, other: "BandTable") -> "BandTable":
        if (self.ranked_by, self.pooled) != (other.ranked_by, other.pooled) or self.pooled:
            raise InputError(
                f"tenths by {_ranking(self)} and by {_ranking(other)} do not add up, expected "
                f"both to be those of each image by one ranking"
            )
        return BandTable(pd.concat([self.rows, other.rows], ignore_index=True), self.ranked_by)

    @property
    def caution(self) -> str:
        """What the ranking does to a comparison of these models; empty where it does nothing."""
        models = set(self.rows["model"])
        if self.ranked_by != "bicubic_ad" or len(models) == 1:
            return ""
        return LUCK_TRAP if "bicubic" in models else LUCK_BETWEEN_NETWORKS

    def loss_shares(self) -> pd.DataFrame:
        """Return each tenth's share of an image's total error, in percent.

        Columns `model, dataset, image, tenth, l1_share, l2_share`; an image without error has
        NaN.
        """
        shares = self.rows[[*_IMAGE, "tenth"]].copy()
        for share, measure in (("l1_share", "ad_levels"), ("l2_share", "squared_error")):
            sums = (self.rows["pixels"] * self.rows[measure]).fillna(0)
            totals = sums.groupby([self.rows[key] for key in _IMAGE]).transform("sum")
            shares[share] = 100 * sums / totals.where(totals > 0)
        return shares

    def head_and_tail(self) -> pd.DataFrame:
        """Return the columns of `frame` for two bands of pixels, `band` instead of `tenth`.

        The head are the five easiest tenths, the tail is the hardest, as `tail.py` defines them.
        """
        bands = {"head": range(1, round(HEAD * TENTHS) + 1), "tail": [TENTHS]}
        assert round(TAIL * TENTHS) == 1
        tables = []
        for band, tenths in bands.items():
            rows = self.rows[self.rows["tenth"].isin(tenths)]
            sums = rows[_IMAGE].assign(band=band, pixels=rows["pixels"])
            for measure in get_args(Measure):
                sums[measure] = (rows["pixels"] * rows[measure]).fillna(0)
            sums = sums.groupby([*_IMAGE, "band"], sort=False).sum().reset_index()
            for measure in get_args(Measure):
                sums[measure] /= sums["pixels"].where(sums["pixels"] > 0)
            tables.append(sums)
        return pd.concat(tables, ignore_index=True)

    def summary(self, measure: Measure = "ad_levels", confidence: float = 0.95) -> pd.DataFrame:
        """Return the mean over images of each tenth's error, with its interval.

        Columns `model, dataset, tenth, images, estimate, low, high, method`; see `mean_interval`.
        """
        return interval_table(self.rows, ["model", "dataset", "tenth"], measure, confidence)

    def differences(
        self,
        reference: str,
        other: str,
        measure: Measure = "ad_levels",
        confidence: float = 0.95,
    ) -> pd.DataFrame:
        """Return how much the error of one model exceeds another's in each tenth, paired by image.

        Columns `dataset, tenth, images, estimate, low, high, method`; a negative estimate means
        that `other` has the smaller error.

        Raises:
            InputError: A model that was not measured.
        """
        for name in (reference, other):
            if name not in set(self.rows["model"]):
                known = ", ".join(self.rows["model"].unique())
                raise InputError(f"{name}: no such model, expected one of {known}")
        keys = ["dataset", "image", "tenth"]
        errors = {
            name: self.rows[self.rows["model"] == name].set_index(keys)[measure]
            for name in {reference, other}
        }
        gaps = (errors[other] - errors[reference]).reset_index()
        return interval_table(gaps, ["dataset", "tenth"], measure, confidence)


def measure_bands(
    models: Mapping[str, Restorer] | Iterable[Restorer],
    pairs: Sequence[ImagePair],
    ranked_by: Ranking | Difficulty = "gradient",
    *,
    pooled: bool = False,
) -> BandTable:
    """Measure the error of each model in each tenth of the pixels, image by image.

    One image is held at a time. Under `torchrun` the processes share the images out, and each
    gets the whole table. SR is rounded to 8 bits and the whole image counts, without a border.

    Args:
        models: See `restorers_by_name`.
        pairs: The images, each of a data set with a name of its own.
        ranked_by: See `difficulty`. Ranked by "bicubic_ad", bicubic and networks do not compare
            fairly: see the luck trap at the top of this module.
        pooled: Take the tenths of all pixels of `pairs` together, of which an easy image may
            have no hard ones, instead of the tenths of each image. The images are read twice.

    Raises:
        InputError: No models, two images of one name, or SR of another size than HR.

    Example:
        >>> from srlongtail.image.dataset import photos
        >>> models = {"bicubic": lambda lr: upsample_bicubic(lr, 4)}
        >>> table = measure_bands(models, photos(4)[1:2]).frame()
        >>> table.iloc[[0, 9], 3:].round(1).values.tolist()
        [[1.0, 13320.0, 1.3, 7.4], [10.0, 13320.0, 8.5, 123.0]]
    """
    edges = None
    if pooled:
        parts = map_pairs(partial(_difficulty_histogram, ranked_by=ranked_by), pairs)
        edges = pooled_edges(sum(parts, DifferenceHistogram.empty(["difficulty"])), "difficulty")
    measure = partial(
        _measure, restorers=restorers_by_name(models), ranked_by=ranked_by, edges=edges
    )
    return BandTable(_table(map_pairs(measure, pairs)), _name_of(ranked_by), pooled)


class BandError:
    """Error in the tenths of the pixels, for a training loop of one's own.

    Feed it batches, and ask for the table at the end of an epoch. It keeps ten rows an image,
    never pixels.

    Args:
        ranked_by: See `difficulty`.
        model, dataset: What these columns of the table say.

    Example:
        >>> bands = BandError(ranked_by="gradient")
        >>> for _ in range(2):  # for lr, hr in validation_loader:
        ...     hr, lr = torch.rand(4, 3, 32, 32), torch.rand(4, 3, 8, 8)
        ...     sr = upsample_bicubic(lr, 4)  # sr = network(lr)
        ...     bands.update(sr, hr, upsample_bicubic(lr, 4))
        >>> bands.compute().summary()[["tenth", "images"]].iloc[-1].tolist()
        [10, 8]
        >>> bands.reset()
    """

    def __init__(
        self,
        ranked_by: Ranking | Difficulty = "gradient",
        *,
        model: str = "network",
        dataset: str = "",
    ) -> None:
        self.ranked_by = ranked_by
        self.model = model
        self.dataset = dataset
        self._rows: list[list[Any]] = []
        self._images = 0

    def update(self, sr: Tensor, hr: Tensor, bicubic: Tensor) -> None:
        """Take in a batch.

        Args:
            sr: Full SR images `(N, 3, H, W)`, on any device; clamped and rounded to 8 bits here.
            hr: In [0, 1], like `sr`.
            bicubic: The enlarged LR images, like `sr`.

        Raises:
            InputError: Other shapes.
        """
        shapes = [tuple(images.shape) for images in (sr, hr, bicubic)]
        if len(set(shapes)) > 1 or sr.dim() != 4 or sr.shape[1] != 3:
            raise InputError(f"sr, hr and bicubic of {shapes}, expected (N, 3, H, W) for each")
        for own, image, low in zip(sr.detach(), hr.detach(), bicubic.detach(), strict=True):
            self._images += 1
            label = (self.model, self.dataset, str(self._images))
            tenths = tenth_of_pixels(difficulty(image, low, self.ranked_by))
            found = means_by_tenth(absolute_difference(own, image), tenths)
            self._rows += [[*label, *row] for row in found]

    def compute(self) -> BandTable:
        """Return the table of all images since the last reset, numbered from 1.

        Raises:
            InputError: No images yet.
        """
        if not self._rows:
            raise InputError("no images, expected an update before compute")
        return BandTable(_table(self._rows), _name_of(self.ranked_by))

    def reset(self) -> None:
        """Remove all images."""
        self._rows, self._images = [], 0


def interval_table(
    rows: pd.DataFrame, keys: Sequence[str], value: str, confidence: float = 0.95
) -> pd.DataFrame:
    """Return the mean of a column in each group of rows with its interval; see `mean_interval`.

    Args:
        rows: One row per image of each group; rows whose value is NaN do not count.
        keys: Columns that tell the groups apart.
        value: The column of numbers.
        confidence: See `mean_interval`.

    Returns:
        Columns `keys, images, estimate, low, high, method`.

    Example:
        >>> rows = pd.DataFrame({"tenth": [1, 1, 2], "gap": [1.0, 3.0, 5.0]})
        >>> interval_table(rows, ["tenth"], "gap").iloc[:, :3].values.tolist()
        [[1.0, 2.0, 2.0], [2.0, 1.0, 5.0]]
    """
    groups = rows.dropna(subset=[value]).groupby(list(keys), sort=False)[value]
    found = [
        (*key, len(values), *mean_interval(values.to_numpy(), confidence)) for key, values in groups
    ]
    return pd.DataFrame(found, columns=[*keys, "images", "estimate", "low", "high", "method"])


def _measure(
    pair: ImagePair,
    restorers: Mapping[str, PairRestorer],
    ranked_by: Ranking | Difficulty,
    edges: Sequence[float] | None,
) -> list[list[Any]]:
    hard = difficulty(pair.hr, upsample_bicubic(pair.lr, pair.scale), ranked_by)
    tenths = tenth_of_pixels(hard) if edges is None else tenth_by_edges(hard, edges)
    rows = []
    for name, restore in restorers.items():
        sr = restore(pair)
        if sr.shape != pair.hr.shape:
            raise InputError(
                f"{name}: {pair.name} restored to {tuple(sr.shape)}, expected "
                f"{tuple(pair.hr.shape)}"
            )
        error = absolute_difference(sr.to(pair.hr.device), pair.hr)
        label = (name, pair.dataset, pair.name)
        rows += [[*label, *row] for row in means_by_tenth(error, tenths)]
    return rows


def means_by_tenth(error: Tensor, tenths: Tensor) -> list[tuple[int, int, float, float]]:
    """Return the mean error of one image's pixels in each tenth.

    Args:
        error: The AD of each pixel, in levels of 255.
        tenths: The tenth that each pixel is in, as `tenth_of_pixels` returns it.

    Returns:
        For each tenth: its number, its pixels, and the means of AD and of its square; NaN where
        there is no pixel.

    Example:
        >>> means_by_tenth(torch.tensor([1.0, 3.0, 8.0]), torch.tensor([1, 1, 10]))[0]
        (1, 2, 2.0, 5.0)
    """
    values = error.cpu().double().numpy().ravel()
    bins = tenths.cpu().numpy().ravel().astype(np.intp) - 1
    counts = np.bincount(bins, minlength=TENTHS)
    sums = (np.bincount(bins, weights, TENTHS) for weights in (values, values**2))
    with np.errstate(invalid="ignore"):  # the mean of no pixel is NaN
        means = ((of_values / counts).tolist() for of_values in sums)
        return list(zip(range(1, TENTHS + 1), counts.tolist(), *means, strict=True))


def _table(rows: list[list[Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[*_IMAGE, "tenth", "pixels", *get_args(Measure)])


def _difficulty_histogram(
    pair: ImagePair, ranked_by: Ranking | Difficulty
) -> list[DifferenceHistogram]:
    hard = difficulty(pair.hr, upsample_bicubic(pair.lr, pair.scale), ranked_by)
    if hard.min() < 0 or hard.max() > EDGES[-1] + 1e-3:
        raise InputError(
            f"ranked_by: values from {hard.min():g} to {hard.max():g} for {pair.name}, expected "
            f"0 to {EDGES[-1]:g} for pooled tenths"
        )
    return [DifferenceHistogram.of({"difficulty": hard.clamp(max=float(EDGES[-1]))})]


def _name_of(ranked_by: Ranking | Difficulty) -> str:
    return ranked_by if isinstance(ranked_by, str) else getattr(ranked_by, "__name__", "a map")


def _ranking(table: BandTable) -> str:
    return table.ranked_by + (", pooled" if table.pooled else "")
