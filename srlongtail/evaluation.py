"""PSNR and SSIM of any number of models on any number of data sets, as a tidy table."""

import warnings
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from srlongtail.errors import InputError
from srlongtail.image.dataset import SKIP_BAD, ImagePair, ImageSet
from srlongtail.metrics import PAPER, Protocol, mean_psnr
from srlongtail.models.sr_model import SRModel
from srlongtail.parallel import gather, is_writer, share

COLUMNS = ("model", "dataset", "image", "psnr_db", "ssim")


def evaluate(
    models: Sequence[SRModel],
    datasets: Iterable[ImageSet],
    protocol: Protocol = PAPER,
    *,
    skip_bad: bool = False,
) -> pd.DataFrame:
    """Score every model on every image: one row for each, columns `COLUMNS` and `lr`.

    `lr` tells where the data set's LR images came from (see `LRSource.short`).
    Images are read one at a time. Under `torchrun` (inside `process_group`) the processes share
    them out, and every process gets the whole table.

    Args:
        models: the models, all of the data sets' scale.
        datasets: the images.
        protocol: how to score.
        skip_bad: leave out images that are too small to be scored, with a warning, rather than
            raise an error.

    Raises:
        InputError: a model whose scale is not the data set's, or an image that cannot be scored.

    >>> from srlongtail.image.dataset import photos
    >>> from srlongtail.models.sr_model import bicubic
    >>> evaluate([bicubic(4)], [photos(4)[1:2]]).round(1).values.tolist()
    [['bicubic', 'photos', 'chelsea', 30.1, 0.8, 'made by bicubic']]
    """
    datasets = list(datasets)
    check_scales(models, datasets)
    datasets = [scorable(data, protocol, skip_bad=skip_bad) for data in datasets]
    places = [(data, index) for data in datasets for index in range(len(data))]
    bar = tqdm(total=len(places) * len(models), disable=None if is_writer() else True, unit="image")
    rows = []
    with bar:
        for number, (data, index) in share(list(enumerate(places))):
            pair = data[index]
            lr = data.lr_source.short
            for order, model in enumerate(models):
                rows.append((order, number, *_score(model, pair, protocol), lr))
                bar.update()
    all_rows = sorted(chain.from_iterable(gather(rows)))
    table = pd.DataFrame(all_rows, columns=["order", "number", *COLUMNS, "lr"])
    return table[[*COLUMNS, "lr"]]


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over the images of each model and data set, in the table's order, with their count.

    Images that are restored perfectly are left out of the mean of PSNR (see `mean_psnr`); a column
    `perfect` counts them where there are some.

    >>> rows = [("a", "Set5", "x", 30.0, 0.8), ("a", "Set5", "y", 32.0, 0.9)]
    >>> summarize(pd.DataFrame(rows, columns=COLUMNS)).round(2).values.tolist()
    [['a', 'Set5', 2, 31.0, 0.85]]
    """
    groups = table.groupby(["model", "dataset"], sort=False)
    columns: dict[str, tuple[str, Any]] = {
        "images": ("image", "size"),
        "psnr_db": ("psnr_db", mean_psnr),
        "ssim": ("ssim", "mean"),
    }
    if np.isinf(table["psnr_db"]).any():
        columns["perfect"] = ("psnr_db", lambda values: int(np.isinf(values).sum()))
    if "lr" in table:
        columns["lr"] = ("lr", "first")
    return groups.agg(**columns).reset_index()


def perfect_images(table: pd.DataFrame) -> dict[tuple[str, str], list[str]]:
    """The images that a model restored perfectly, for each model and data set that has some.

    >>> rows = [("a", "Set5", "x", np.inf, 1.0), ("a", "Set5", "y", 32.0, 0.9)]
    >>> perfect_images(pd.DataFrame(rows, columns=COLUMNS))
    {('a', 'Set5'): ['x']}
    """
    perfect = table[np.isinf(table["psnr_db"])]
    groups = perfect.groupby(["model", "dataset"], sort=False)["image"]
    return {(str(model), str(data)): list(images) for (model, data), images in groups}


def scorable(data: ImageSet, protocol: Protocol, *, skip_bad: bool = False) -> ImageSet:
    """The data set, once it is known that its images are large enough to be scored.

    Args:
        data: the images, whose sizes are looked at without reading them.
        protocol: how they are to be scored.
        skip_bad: leave out images that are too small, with a warning.

    Raises:
        InputError: images that are too small, or none that is not.
    """
    least = protocol.smallest_side(data.scale)
    small = [
        f"{data.name}/{name} ({size[0]} x {size[1]})"
        for name, size in zip(data.names, data.hr_sizes, strict=True)
        if size is not None and min(size) < least
    ]
    if not small:
        return data
    reason = (
        f"{', '.join(small)}: too small to be scored by the protocol {protocol.name!r}, expected "
        f"HR images of at least {least} x {least} pixels after cropping"
    )
    if not skip_bad or len(small) == len(data):
        hint = () if len(small) == len(data) else ("; ", SKIP_BAD, " leaves them out")
        raise InputError(reason, *hint)
    warnings.warn(f"left out: {reason}", stacklevel=3)
    return data.without(
        name
        for name, size in zip(data.names, data.hr_sizes, strict=True)
        if size is not None and min(size) < least
    )


def check_scales(models: Iterable[SRModel], datasets: Iterable[ImageSet]) -> None:
    """Refuse models of other scales than the data sets'."""
    for data in datasets:
        for model in models:
            if model.scale != data.scale:
                raise InputError(
                    f"{model.name}: a x{model.scale} model, but {data.name} is x{data.scale}"
                )


def _score(
    model: SRModel, pair: ImagePair, protocol: Protocol
) -> tuple[str, str, str, float, float]:
    tile = protocol.tiling(model.architecture, pair.dataset)
    sr = model.restore(pair.lr, tile)
    try:
        score = protocol.score(sr, pair.hr, pair.scale)
    except InputError as error:
        raise InputError(f"{pair.dataset}/{pair.name}: {error}") from error
    return model.name, pair.dataset, pair.name, score.psnr_db, score.ssim
