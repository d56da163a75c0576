"""Choose windows to attribute, and attribute many of them on an image or with two networks."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from srlongtail.attribution.crop import whole_output
from srlongtail.attribution.integral import Model
from srlongtail.attribution.lam import AttributionMap
from srlongtail.attribution.receptive_field import receptive_field
from srlongtail.attribution.shared import attribute_windows
from srlongtail.attribution.trust import AttributionWarning
from srlongtail.device import device_of, eval_mode, fixed_weights
from srlongtail.errors import InputError
from srlongtail.geometry import Window, crop
from srlongtail.image.dataset import ImagePair
from srlongtail.longtail.tail import Limits, split_by_rank
from srlongtail.parallel import gather, is_writer, share
from srlongtail.stats import mean_interval

SIZE = 16  # SR pixels; size of the published windows


def hardest_window(difference: Tensor, size: int = SIZE) -> tuple[Window, float]:
    """Return the window with the largest share of tail pixels, and that share.

    The tail is that of the image itself, by `Limits.of_image`. If several windows have the same
    share, the one with the largest mean difference is returned.

    Args:
        difference: Bicubic's AD, `(H, W)`; the choice must not depend on a network's own error.
        size: Side of the window in SR pixels.

    Example:
        >>> difference = torch.zeros(40, 40)
        >>> difference[20:28, 4:12] = 9.0
        >>> hardest_window(difference, 8)
        ((20, 4, 8), 1.0)
    """
    height, width = difference.shape
    if not 1 <= size <= min(height, width):
        raise InputError(f"window of size {size}, expected 1 to {min(height, width)}")
    values = difference.double()
    tail = Limits.of_image(values).tail(values)
    shares, means = (F.avg_pool2d(m.double()[None], size, stride=1)[0] for m in (tail, values))
    # Shares are multiples of 1 / size^2; smaller differences are rounding errors.
    best = shares > shares.max() - 0.5 / size**2
    row, column = divmod(int(means.where(best, -torch.inf).argmax()), means.shape[1])
    return (row, column, size), float(shares.max())


def easiest_window(difference: Tensor, size: int = SIZE) -> Window:
    """Return the window with the smallest mean difference, the first of several.

    Args:
        difference: Bicubic's AD, `(H, W)`.
        size: Side of the window in SR pixels.

    Example:
        >>> difference = torch.ones(40, 40)
        >>> difference[20:28, 4:12] = 0.0
        >>> easiest_window(difference, 8)
        (20, 4, 8)
    """
    height, width = difference.shape
    if not 1 <= size <= min(height, width):
        raise InputError(f"window of size {size}, expected 1 to {min(height, width)}")
    means = F.avg_pool2d(difference.double()[None], size, stride=1)[0]
    row, column = divmod(int(means.argmin()), means.shape[1])
    return row, column, size


def grid_windows(height: int, width: int, size: int = SIZE, step: int = SIZE) -> list[Window]:
    """Return the windows of a regular grid over an SR image, row by row; a remainder is not used.

    Example:
        >>> grid_windows(32, 40, size=16, step=16)
        [(0, 0, 16), (0, 16, 16), (16, 0, 16), (16, 16, 16)]
    """
    if size < 1 or step < 1 or size > min(height, width):
        raise InputError(
            f"windows of size {size} every {step} pixels, expected a size from 1 to "
            f"{min(height, width)} and a step of at least 1"
        )
    rows, columns = (range(0, length - size + 1, step) for length in (height, width))
    return [(row, column, size) for row in rows for column in columns]


@dataclass(frozen=True)
class WindowGrid:
    """The numbers of all windows of a grid over one image."""

    table: pd.DataFrame

    def frame(self) -> pd.DataFrame:
        """Return one row per window: its position, DI, n_eff and its other numbers.

        In the column `reliable`, False marks windows whose map is doubtful; see
        `AttributionMap.doubts`.
        """
        return self.table

    def map(self, what: str = "n_eff") -> Tensor:
        """Return one of the numbers as an image with one pixel per window."""
        return torch.tensor(self.table.pivot(index="row", columns="col", values=what).to_numpy())


def attribute_grid(
    model: Model,
    lr: Tensor,
    size: int = SIZE,
    step: int = SIZE,
    *,
    sr: Tensor | None = None,
    **settings: Any,
) -> WindowGrid:
    """Measure DI and n_eff on a grid over an image.

    Windows share passes of the network where that is faster; see `attribute_windows`. Under
    `torchrun` the windows are divided among the processes, and each process gets the whole result.

    Args:
        model: See `local_attribution`.
        lr: `(3, h, w)`.
        size, step: Side and spacing of the windows, in SR pixels.
        sr: The model's output `(3, H, W)` for `lr`, if it is available.
        settings: Passed on to `local_attribution`.

    Example:
        >>> upsample = torch.nn.Upsample(scale_factor=4, mode="bicubic")
        >>> attribute_grid(upsample, torch.rand(3, 16, 24), step=32).map().shape
        torch.Size([2, 3])
    """
    sr = whole_output(model, lr) if sr is None else sr
    height, width = sr.shape[-2:]
    mine = list(share(grid_windows(height, width, size, step)))
    maps = tqdm(
        _maps(model, lr, sr, mine, **settings),
        disable=None if is_writer() else True,
        total=len(mine),
        unit="window",
    )
    parts = gather([_row(found) for _, found in maps])
    table = pd.concat([row for part in parts for row in part])
    return WindowGrid(table.sort_values(["row", "col"], ignore_index=True))


def windows_by_band(
    difference: Tensor, *, size: int = SIZE, bands: int = 10, per_band: int = 1, seed: int = 0
) -> list[tuple[int, Window]]:
    """Draw windows of every difficulty: `(band, window)`, where band 1 is the easiest.

    The windows of a grid without overlap are sorted by their mean difference and divided into
    bands of equal size. From each band, `per_band` windows are drawn without replacement.

    Args:
        difference: Bicubic's AD, `(H, W)`.
        size: Side of the windows in SR pixels.
        bands: Number of bands; 10 are deciles.
        per_band: Number of windows drawn per band (all of them if a band has fewer).
        seed: The same seed draws the same windows.

    Example:
        >>> drawn = windows_by_band(torch.arange(4096.0).reshape(64, 64), bands=2)
        >>> [band for band, _ in drawn]
        [1, 2]
    """
    height, width = difference.shape
    windows = grid_windows(height, width, size, size)
    if not 1 <= bands <= len(windows) or per_band < 1:
        raise InputError(
            f"{per_band} windows from each of {bands} bands, expected at least 1 window and at "
            f"most {len(windows)} bands, the number of {size} x {size} windows in the image"
        )
    means = torch.stack([crop(difference, window).mean() for window in windows])
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for band, members in enumerate(split_by_rank(means.cpu(), bands), start=1):
        chosen = torch.randperm(len(members), generator=generator)[:per_band]
        drawn += [(band, windows[int(members[i])]) for i in chosen]
    return drawn


@dataclass(frozen=True)
class WindowComparison:
    """Two networks on the same windows.

    Attributes:
        models: The reference and the network compared with it.
        table: One row per network, image and window.
    """

    models: tuple[str, str]
    table: pd.DataFrame

    def frame(self) -> pd.DataFrame:
        """Return one row per network, image and window: `model, image, band, row, col, ...`.

        In the column `reliable`, False marks windows whose map is doubtful; see
        `AttributionMap.doubts`.
        """
        return self.table

    def summary(self, what: str = "n_eff", **options: Any) -> pd.DataFrame:
        """Return how much the second network exceeds the first in each band, with an interval.

        The windows of a band are first averaged within each image; the interval is over images
        (`options` are passed on to `mean_interval`). One row per band:
        `band, images, difference, low, high`.
        """
        means = self.table.groupby(["band", "image", "model"])[what].mean().unstack("model")
        reference, other = self.models
        rows = []
        for band, gains in (means[other] - means[reference]).groupby("band"):
            found = mean_interval(gains, **options)
            rows.append((band, len(gains), found.estimate, found.low, found.high))
        return pd.DataFrame(rows, columns=["band", "images", "difference", "low", "high"])


def compare_by_band(
    models: Mapping[str, Model],
    pairs: Sequence[ImagePair],
    difference: Callable[[ImagePair], Tensor],
    *,
    size: int = SIZE,
    bands: int = 10,
    per_band: int = 1,
    seed: int = 0,
    outputs: Mapping[str, Callable[[ImagePair], Tensor]] | None = None,
    **settings: Any,
) -> WindowComparison:
    """Attribute the same windows, drawn by difficulty, with two networks.

    Only one image is kept in memory. Under `torchrun` the images are divided among the processes,
    and each process gets the whole result. Images are moved to the device of an `nn.Module`.

    Args:
        models: Two networks by name, the reference first.
        pairs: The images, each with a unique name.
        difference: Returns bicubic's AD `(H, W)` of a pair, which defines how hard a window is.
        size, bands, per_band, seed: See `windows_by_band`.
        outputs: For each network, a function that returns its output `(3, H, W)` for a pair, not
            clamped; default: the network is run on the whole image.
        settings: Passed on to `local_attribution`.

    Raises:
        InputError: There are not two networks, no images, or an image has fewer windows than
            bands.

    Example:
        >>> pair = ImagePair("noise", torch.rand(3, 64, 64), torch.rand(3, 16, 16))
        >>> once = torch.nn.Upsample(scale_factor=4)
        >>> found = compare_by_band({"a": once, "b": once}, [pair], lambda p: p.hr[0], bands=2)
        >>> found.summary()[["band", "images", "difference"]].to_numpy().tolist()
        [[1.0, 1.0, 0.0], [2.0, 1.0, 0.0]]
    """
    if len(models) != 2 or not len(pairs):
        raise InputError(
            f"{len(models)} networks and {len(pairs)} images, expected two networks to compare "
            f"and at least one image"
        )
    reference, other = models
    tables = {}
    mine = list(share(range(len(pairs))))
    silent = not is_writer() or len(pairs) == 1  # one image: the caller counts the images
    for index in tqdm(mine, disable=silent or None, unit="image"):
        pair = pairs[index]
        drawn = windows_by_band(
            difference(pair), size=size, bands=bands, per_band=per_band, seed=seed
        )
        numbers, windows = zip(*drawn, strict=True)
        each = []
        for name, model in models.items():
            lr = pair.lr.to(device_of(model))
            sr = outputs[name](pair).to(lr.device) if outputs else whole_output(model, lr)
            rows = {
                index: _row(found) for index, found in _maps(model, lr, sr, windows, **settings)
            }
            table = pd.concat([rows[index] for index in range(len(windows))])
            table.insert(0, "band", numbers)
            table.insert(0, "image", pair.name)
            table.insert(0, "model", name)
            each.append(table)
        tables[index] = pd.concat(each)
    by_image = {index: table for part in gather(tables) for index, table in part.items()}
    table = pd.concat([by_image[index] for index in sorted(by_image)], ignore_index=True)
    return WindowComparison((reference, other), table)


def _row(found: AttributionMap) -> pd.DataFrame:
    return found.frame().assign(reliable=not found.doubts)


def _maps(
    model: Model, lr: Tensor, sr: Tensor, windows: Sequence[Window], **settings: Any
) -> Iterator[tuple[int, AttributionMap]]:
    """Yield the index and the map of each window of one image, in any order."""
    doubts: list[str] = []
    with eval_mode(model), fixed_weights(model):
        field = receptive_field(model, lr)
        for index, found in attribute_windows(model, lr, windows, field=field, sr=sr, **settings):
            doubts += found.doubts[:1]
            yield index, found
    if doubts:
        warnings.warn(
            f"attribution: {len(doubts)} of {len(windows)} maps are not reliable; the first: "
            f"{doubts[0]}",
            AttributionWarning,
            stacklevel=2,
        )
