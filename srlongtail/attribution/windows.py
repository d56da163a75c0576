"""Which windows to attribute, and what many of them say of an image or of two networks."""

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
from srlongtail.attribution.lam import AttributionMap, local_attribution
from srlongtail.attribution.receptive_field import receptive_field
from srlongtail.attribution.trust import AttributionWarning
from srlongtail.device import device_of, eval_mode
from srlongtail.errors import InputError
from srlongtail.geometry import Window, crop
from srlongtail.image.dataset import ImagePair
from srlongtail.longtail.tail import Limits, split_by_rank
from srlongtail.parallel import gather, share
from srlongtail.stats import mean_interval

SIZE = 16  # SR pixels, the published window


def hardest_window(difference: Tensor, size: int = SIZE) -> tuple[Window, float]:
    """The window with the largest share of tail pixels, and that share.

    The tail is the image's own, by `Limits.of_image`. Of equal windows it is the one
    with the largest mean difference.

    Args:
        difference: bicubic's AD, `(H, W)`; the choice must not depend on a network's own error.
        size: of the window, in SR pixels.

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
    # Shares are multiples of 1 / size^2; what is left of them by rounding is no difference.
    best = shares > shares.max() - 0.5 / size**2
    row, column = divmod(int(means.where(best, -torch.inf).argmax()), means.shape[1])
    return (row, column, size), float(shares.max())


def grid_windows(height: int, width: int, size: int = SIZE, step: int = SIZE) -> list[Window]:
    """Windows on a regular grid over an SR image, row by row; what is left at the end is not used.

    >>> grid_windows(32, 40, size=16, step=16)
    [(0, 0, 16), (0, 16, 16), (16, 0, 16), (16, 16, 16)]
    """
    if size < 1 or step < 1 or size > min(height, width):
        raise InputError(
            f"windows of size {size} every {step} pixels, expected a size of 1 to "
            f"{min(height, width)} and a step of at least 1"
        )
    rows, columns = (range(0, length - size + 1, step) for length in (height, width))
    return [(row, column, size) for row in rows for column in columns]


@dataclass(frozen=True)
class WindowGrid:
    """What the windows of a grid over one image say; one row a window."""

    table: pd.DataFrame

    def frame(self) -> pd.DataFrame:
        """One row a window: its place, DI, n_eff and the rest of its numbers."""
        return self.table

    def map(self, what: str = "n_eff") -> Tensor:
        """One of the numbers as a picture, one pixel a window."""
        return torch.tensor(self.table.pivot(index="row", columns="col", values=what).to_numpy())


def attribute_grid(
    model: Model, lr: Tensor, size: int = SIZE, step: int = SIZE, **settings: Any
) -> WindowGrid:
    """DI and n_eff all over an image.

    One window is held at a time. Under `torchrun` the processes share the windows out, and each
    gets the whole result.

    Args:
        model: see `local_attribution`.
        lr: `(3, h, w)`.
        size, step: of the windows, in SR pixels.
        settings: for `local_attribution`.

    >>> upsample = torch.nn.Upsample(scale_factor=4, mode="bicubic")
    >>> attribute_grid(upsample, torch.rand(3, 16, 24), step=32).map().shape
    torch.Size([2, 3])
    """
    sr = whole_output(model, lr)
    height, width = sr.shape[-2:]
    mine = list(share(grid_windows(height, width, size, step)))
    maps = tqdm(_maps(model, lr, sr, mine, **settings), disable=None, total=len(mine))
    parts = gather([found.frame() for found in maps])
    table = pd.concat([row for part in parts for row in part])
    return WindowGrid(table.sort_values(["row", "col"], ignore_index=True))


def windows_by_band(
    difference: Tensor, *, size: int = SIZE, bands: int = 10, per_band: int = 1, seed: int = 0
) -> list[tuple[int, Window]]:
    """Draw windows of every difficulty: `(band, window)`, band 1 the easiest.

    An image's windows on a grid of their size are ordered by their mean difference and cut into
    bands of equal number, from each of which `per_band` are drawn without replacement.

    Args:
        difference: bicubic's AD, `(H, W)`.
        size: of the windows, in SR pixels.
        bands: 10 are deciles.
        per_band: how many are drawn (all, where a band has fewer).
        seed: the same seed draws the same windows.

    >>> drawn = windows_by_band(torch.arange(4096.0).reshape(64, 64), bands=2)
    >>> [band for band, _ in drawn]
    [1, 2]
    """
    height, width = difference.shape
    windows = grid_windows(height, width, size, size)
    if not 1 <= bands <= len(windows) or per_band < 1:
        raise InputError(
            f"{per_band} windows of each of {bands} bands, expected at least 1 of at most "
            f"{len(windows)} bands, the number of {size} x {size} windows in the image"
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
        models: the reference and the network compared with it.
        table: one row for each network, image and window.
    """

    models: tuple[str, str]
    table: pd.DataFrame

    def frame(self) -> pd.DataFrame:
        """One row for each network, image and window: `model, image, band, row, col, ...`."""
        return self.table

    def summary(self, what: str = "n_eff", **options: Any) -> pd.DataFrame:
        """How much the second network exceeds the first in each band, with its interval.

        The windows of a band are averaged in each image first; the interval is over images
        (`options` are those of `mean_interval`). One row a band:
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
    **settings: Any,
) -> WindowComparison:
    """Attribute the same windows, drawn by difficulty, under two networks.

    One image is held at a time. Under `torchrun` the processes share the images out, and each
    gets the whole result. A module gets the images on its own device.

    Args:
        models: two, by name: the reference first.
        pairs: the images, each with a name of its own.
        difference: bicubic's AD of a pair, `(H, W)`: what makes a window hard.
        size, bands, per_band, seed: see `windows_by_band`.
        settings: for `local_attribution`.

    Raises:
        InputError: not two networks, no images, or fewer windows in an image than bands.

    >>> pair = ImagePair("noise", torch.rand(3, 64, 64), torch.rand(3, 16, 16))
    >>> once = torch.nn.Upsample(scale_factor=4)
    >>> found = compare_by_band({"a": once, "b": once}, [pair], lambda pair: pair.hr[0], bands=2)
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
    for index in tqdm(list(share(range(len(pairs)))), disable=None, unit="image"):
        pair = pairs[index]
        drawn = windows_by_band(
            difference(pair), size=size, bands=bands, per_band=per_band, seed=seed
        )
        numbers, windows = zip(*drawn, strict=True)
        each = []
        for name, model in models.items():
            lr = pair.lr.to(device_of(model))
            maps = _maps(model, lr, whole_output(model, lr), windows, **settings)
            table = pd.concat([found.frame() for found in maps])
            table.insert(0, "band", numbers)
            table.insert(0, "image", pair.name)
            table.insert(0, "model", name)
            each.append(table)
        tables[index] = pd.concat(each)
    by_image = {index: table for part in gather(tables) for index, table in part.items()}
    table = pd.concat([by_image[index] for index in sorted(by_image)], ignore_index=True)
    return WindowComparison((reference, other), table)


def _maps(
    model: Model, lr: Tensor, sr: Tensor, windows: Sequence[Window], **settings: Any
) -> Iterator[AttributionMap]:
    """The maps of several windows of one image, whose receptive field is looked for once."""
    with eval_mode(model):
        field = receptive_field(model, lr)
    doubts: list[str] = []
    for window in windows:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AttributionWarning)  # said once for all, below
            found = local_attribution(model, lr, window, field=field, sr=sr, **settings)
        doubts += found.doubts[:1]
        yield found
    if doubts:
        warnings.warn(
            f"attribution: {len(doubts)} of {len(windows)} maps are not to be believed; of the "
            f"first, {doubts[0]}",
            AttributionWarning,
            stacklevel=2,
        )
