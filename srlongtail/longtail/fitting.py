"""Over-fitting of head and tail, by cross-fitting.

A network's error on its training images and on a test set differ because the images differ, which
says nothing about over-fitting. Cross-fitting compares two networks on the same images: the
training images are split at random into two halves, and one network is trained on each. The gap
of an image is the error of the network that did not see it minus that of the one that did. What
the image shows cancels, because both networks restore it; and which network is the better one
cancels in the mean over both halves, because each has seen one of them.

A gap above 0 is over-fitting: error that the network has removed from the images it has seen, and
from no others. A band that is under-fitted has a large error on seen images and no gap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from srlongtail.errors import InputError
from srlongtail.image.dataset import ImagePair
from srlongtail.longtail.bands import BandTable, measure_bands
from srlongtail.longtail.restorers import Restorer
from srlongtail.longtail.tail import TENTHS, Difficulty, Ranking
from srlongtail.stats import Interval, mean_interval

_UNKNOWN = Interval(np.nan, np.nan, np.nan)
BANDS = (*(str(tenth) for tenth in range(1, TENTHS + 1)), "head", "tail")


@dataclass(frozen=True)
class FittingTable:
    """The errors of two networks on the images that each has seen and on those it has not.

    Attributes:
        rows: One row per iteration, image and band, columns
            `iteration, half, image, band, seen, unseen`: mean AD of luma, in levels of 255, of
            the network trained on the image's half (1 or 2) and of the other one. The bands are
            the tenths "1" (the easiest) to "10", the "head" and the "tail".
        ranked_by: What ranks the pixels; see `BandTable`.
    """

    rows: pd.DataFrame
    ranked_by: str

    def frame(self) -> pd.DataFrame:
        """Return the gap of each band against the iteration; see `summary`."""
        return self.summary()

    def summary(self, confidence: float = 0.95) -> pd.DataFrame:
        """Return the gap, unseen minus seen, of each iteration and band, with its interval.

        The gap is the mean of the two halves' means, so that it does not depend on which network
        is the better one, and the interval (see `mean_interval`) takes its spread within the
        halves alone. It covers the choice of images. It does not cover what two other networks,
        trained in the same way, would give. In percent it is that of the ratio of the means, by
        the delta method: an image where the band is twice as hard and the gap twice as large adds
        nothing to its width.

        Columns `iteration, band, images, seen, unseen, gap, low, high, gap_percent, low_percent,
        high_percent, method`: levels of 255, and percent of the band's unseen error.
        """
        records = []
        for (iteration, band), table in self.rows.groupby(["iteration", "band"], sort=False):
            known = table.dropna(subset=["seen", "unseen"])
            if known["half"].nunique() < 2:
                continue
            halves = known.groupby("half")
            gaps = known["unseen"] - known["seen"]
            found = mean_interval(_without_difference_of_halves(gaps, known["half"]), confidence)
            unseen = float(halves["unseen"].mean().mean())
            percent = mean_interval(_percent_gaps(known), confidence) if unseen > 0 else _UNKNOWN
            seen = float(halves["seen"].mean().mean())
            errors = (seen, unseen, *found[:3], *percent[:3], found.method)
            records.append((iteration, band, len(known), *errors))
        columns = ["iteration", "band", "images", "seen", "unseen", "gap", "low", "high"]
        percents = ["gap_percent", "low_percent", "high_percent"]
        return pd.DataFrame(records, columns=[*columns, *percents, "method"])

    def change(self, reference: "FittingTable", confidence: float = 0.95) -> pd.DataFrame:
        """Return how much larger the gaps are than those of two other networks, with intervals.

        Paired by image: what makes an image easy to memorize for both pairs of networks cancels.

        Args:
            reference: Of two other networks, trained on the same halves.
            confidence: See `mean_interval`.

        Returns:
            Columns `iteration, band, images, change_percent, low, high, method`: percentage points
            of the band's error on unseen images, at the iterations that both have.

        Raises:
            InputError: Other images, other halves, or no common iteration.
        """
        keys = ["iteration", "half", "image", "band"]
        both = self.rows.merge(reference.rows, on=keys, suffixes=("", "_reference"))
        iterations = set(self.rows["iteration"]) & set(reference.rows["iteration"])
        mine = self.rows[self.rows["iteration"].isin(iterations)]
        theirs = reference.rows[reference.rows["iteration"].isin(iterations)]
        if not iterations or not len(both) == len(mine) == len(theirs):
            raise InputError(
                f"{len(both)} of {len(mine)} and {len(theirs)} errors belong together, expected "
                f"networks trained on the same halves of the same images, with checkpoints of "
                f"common iterations"
            )
        records = []
        for (iteration, band), table in both.groupby(["iteration", "band"], sort=False):
            known = table.dropna()
            if known["half"].nunique() < 2 or not (known["unseen"] > 0).any():
                continue
            other = known[["half"]].assign(
                seen=known["seen_reference"], unseen=known["unseen_reference"]
            )
            found = mean_interval(_percent_gaps(known) - _percent_gaps(other), confidence)
            records.append((iteration, band, len(known), *found))
        columns = ["iteration", "band", "images", "change_percent", "low", "high", "method"]
        return pd.DataFrame(records, columns=columns)


def measure_fitting(
    networks: tuple[Mapping[int, Restorer], Mapping[int, Restorer]],
    halves: tuple[Sequence[ImagePair], Sequence[ImagePair]],
    ranked_by: Ranking | Difficulty = "gradient",
) -> FittingTable:
    """Measure two networks, each trained on one half of the images, on both halves.

    Each image is read and its pixels are ranked once, for all iterations. Under `torchrun` the
    processes share the images out.

    Args:
        networks: For either half, iteration -> the network trained on it at that iteration;
            iterations that only one of them has are left out.
        halves: The training images, each in one of them only; images of one half have different
            names.
        ranked_by: See `difficulty`.

    Raises:
        InputError: No iteration that both networks have, or an empty half.

    Example:
        >>> from srlongtail.image.dataset import photos
        >>> from srlongtail.image.resample import upsample_bicubic
        >>> same = {500: lambda lr: upsample_bicubic(lr, 4)}
        >>> found = measure_fitting((same, same), (photos(4)[1:2], photos(4)[3:4]))
        >>> found.frame()["gap"].tolist() == 12 * [0.0]
        True
    """
    common = sorted(set(networks[0]) & set(networks[1]))
    if not common or not all(len(half) for half in halves):
        raise InputError(
            f"networks of iterations {sorted(networks[0])} and {sorted(networks[1])} and halves "
            f"of {len(halves[0])} and {len(halves[1])} images, expected iterations that both "
            f"have, and images in both halves"
        )
    trained = {
        f"trained on half {half}, iteration {iteration}": (half, iteration)
        for half in (1, 2)
        for iteration in common
    }
    models = {name: networks[half - 1][at] for name, (half, at) in trained.items()}
    first, second = (measure_bands(models, half, ranked_by) for half in halves)
    return cross_fit((first, second), trained)


def cross_fit(
    halves: tuple[BandTable, BandTable], trained: Mapping[str, tuple[int, int]]
) -> FittingTable:
    """Return the errors on seen and unseen images, from tables of bands.

    Args:
        halves: The same models on the images of either half.
        trained: Name of a model -> the half that it was trained on, 1 or 2, and the iteration.

    Raises:
        InputError: Tables of different rankings, or an iteration that one network lacks.
    """
    if halves[0].ranked_by != halves[1].ranked_by:
        raise InputError(
            f"halves ranked by {halves[0].ranked_by} and {halves[1].ranked_by}, expected one "
            f"ranking"
        )
    if {at for half, at in trained.values() if half == 1} != {
        at for half, at in trained.values() if half == 2
    }:
        raise InputError(f"networks of {sorted(trained.values())}, expected both at each iteration")
    tables = []
    for half, table in enumerate(halves, start=1):
        tenths = table.frame().assign(band=table.frame()["tenth"].astype(str))
        rows = pd.concat([tenths, table.head_and_tail()])
        known = pd.DataFrame.from_dict(trained, orient="index", columns=["trained_on", "iteration"])
        rows = rows.join(known, on="model", how="inner")
        rows["role"] = np.where(rows["trained_on"] == half, "seen", "unseen")
        keys = ["iteration", "dataset", "image", "band"]
        wide = rows.pivot(index=keys, columns="role", values="ad_levels").reset_index()
        tables.append(wide.assign(half=half))
    rows = pd.concat(tables, ignore_index=True)
    rows["band"] = pd.Categorical(rows["band"], BANDS)
    rows = rows.sort_values(["iteration", "half", "dataset", "image", "band"], ignore_index=True)
    rows["band"] = rows["band"].astype(str)
    columns = ["iteration", "half", "image", "band", "seen", "unseen"]
    return FittingTable(rows[columns], halves[0].ranked_by)


def _percent_gaps(known: pd.DataFrame) -> NDArray[np.float64]:
    """Return values whose mean is the gap in percent of the error, and their spread its own.

    The gap in percent is a ratio of means; by the delta method, each image adds its part of the
    ratio's error.
    """
    gaps, unseen = known["unseen"] - known["seen"], known["unseen"]
    means = [part.groupby(known["half"]).mean().mean() for part in (gaps, unseen)]
    ratio = means[0] / means[1]
    linear = 100 * (ratio + (gaps - ratio * unseen) / means[1])
    return _without_difference_of_halves(linear, known["half"])


def _without_difference_of_halves(gaps: pd.Series, half: pd.Series) -> NDArray[np.float64]:
    """Return the gaps of the images around the mean of the halves' means.

    A network that is worse than the other by d has gaps larger by d in the half it has not seen,
    and smaller by d in the other. This is no spread between images, and leaves their mean as it
    is. Because two means are taken from the gaps instead of one, their spread grows by
    sqrt((n - 1) / (n - 2)).
    """
    means = gaps.groupby(half).mean()
    if len(gaps) < 3:  # one image a half: nothing is known about the spread
        return np.array([means.mean()])
    inside = (gaps - half.map(means)) * np.sqrt((len(gaps) - 1) / (len(gaps) - 2))
    return (means.mean() + inside).to_numpy()
