"""PSNR and SSIM of any number of models on any number of data sets, as a tidy table."""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor
from tqdm import tqdm

from srlongtail.errors import InputError
from srlongtail.image.dataset import SKIP_BAD, ImagePair, ImageSet, Source, read_source
from srlongtail.image.io import write_image
from srlongtail.image.tiles import Tiling
from srlongtail.metrics import PAPER, Protocol, Score, mean_psnr
from srlongtail.models.sr_images import AnyModel, SRImages, fit_to_images
from srlongtail.models.threads import ModelsInThreads
from srlongtail.parallel import gather, in_threads, is_writer, share
from srlongtail.restoration import save_paths

COLUMNS = ("model", "dataset", "image", "psnr_db", "ssim")
UNKNOWN_LR = "unknown"  # the LR images behind a folder of SR images

_Way = tuple[AnyModel, Tiling | None]
_Place = tuple[tuple[Source, ...], int]  # an HR image: the images that it is one of, and its index


def evaluate(
    models: Sequence[AnyModel],
    datasets: Iterable[ImageSet],
    protocol: Protocol = PAPER,
    *,
    skip_bad: bool = False,
    save: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """Score every model on every image: one row for each, columns `COLUMNS` and `lr`.

    `lr` is the source of the data set's LR images (see `LRSource.short`), or `UNKNOWN_LR` for SR
    images in a folder.

    As many images are held at once as torch has threads (see `in_threads`); the numbers do not
    depend on it. Under `torchrun` (inside `process_group`) the processes share the images out, and
    every process gets the whole table.

    Args:
        models: The models, all of the data sets' scale; folders of SR images, too.
        datasets: The images.
        protocol: How to score.
        skip_bad: Leave out images that are too small to be scored, or that a folder of SR images
            lacks, with a warning, rather than raise an error.
        save: Folder to write the SR images to, as PNG of 8 bits; see `save_paths`. Scored again
            as `SRImages`, they have the same scores.

    Raises:
        InputError: A model whose scale is not the data set's, an image that cannot be scored, or
            SR images that do not fit or cannot be saved.

    Example:
        >>> from srlongtail.image.dataset import photos
        >>> from srlongtail.models.sr_model import bicubic
        >>> evaluate([bicubic(4)], [photos(4)[1:2]]).round(1).values.tolist()
        [['bicubic', 'photos', 'chelsea', 30.1, 0.8, 'made by bicubic']]
    """
    tasks = [Task(models, data, protocol) for data in datasets]
    tables = evaluate_together(tasks, skip_bad=skip_bad, save=save)
    of_model = [
        table.iloc[order * images : (order + 1) * images]
        for order in range(len(models))
        for table, images in ((table, len(table) // len(models)) for table in tables)
    ]
    return pd.concat(of_model, ignore_index=True)


class Task(NamedTuple):
    """Models to score on a data set by a protocol."""

    models: Sequence[AnyModel]
    data: ImageSet
    protocol: Protocol = PAPER


def evaluate_together(
    tasks: Sequence[Task],
    *,
    skip_bad: bool = False,
    save: str | os.PathLike[str] | None = None,
) -> list[pd.DataFrame]:
    """Score several tasks in one pass over the images; see `evaluate`.

    An HR image that several data sets share, as those of other scales do, is decoded once, and
    what a model makes of an LR image is scored by all protocols that ask for it, and then dropped.

    Returns:
        A table for each task, ordered by model, then image.
    """
    for task in tasks:
        check_scales(task.models, [task.data])
    tasks = [
        Task(
            models,
            scorable(fit_to_images(models, data, skip_bad=skip_bad), protocol, skip_bad=skip_bad),
            protocol,
        )
        for models, data, protocol in tasks
    ]
    paths = {}
    if save is not None:
        paths = save_paths(
            [model for task in tasks for model in task.models], [task.data for task in tasks], save
        )
        # Of this moment: threads write to them later.
        paths = {key: path.absolute() for key, path in paths.items()}
    scoring = _Scoring(tasks, paths)
    places = list(share(scoring.places))
    total = sum(scoring.restored_images(sources) for sources, _ in places)
    rows: list[list[tuple[Any, ...]]] = [[] for _ in tasks]
    with (
        tqdm(total=total, disable=None if is_writer() else True, unit="image") as bar,
        # Closed at once after an error or Ctrl-C, not when the last traceback is forgotten.
        closing(in_threads(scoring.rows, places)) as computed,
    ):
        for (sources, _), found in zip(places, computed, strict=True):
            for number, row in found:
                rows[number].append(row)
            bar.update(scoring.restored_images(sources))
    columns = ["order", "index", *COLUMNS, "lr"]
    return [
        pd.DataFrame(sorted(chain(*parts)), columns=columns)[columns[2:]]
        for parts in zip(*gather(rows), strict=True)
    ]


class _Scoring:
    """What is restored and scored of each HR image, in one pass over the images.

    Args:
        tasks: The tasks.
        paths: Model, data set and image -> file to write the SR image to.
    """

    def __init__(self, tasks: Sequence[Task], paths: Mapping[tuple[str, str, str], Path]) -> None:
        self.tasks, self.paths, self.models = tasks, paths, ModelsInThreads()
        # HR images -> data set -> model and tiles -> what is scored of it: a task, a row's order.
        self.plan: dict[tuple[Source, ...], dict[ImageSet, dict[_Way, list[tuple[int, int]]]]] = {}
        for number, (models, data, protocol) in enumerate(tasks):
            ways = self.plan.setdefault(data.hr_sources, {}).setdefault(data, {})
            for order, model in enumerate(models):
                way = model, protocol.tiling(model.architecture, data.name)
                ways.setdefault(way, []).append((number, order))

    @property
    def places(self) -> list[_Place]:
        """Every HR image."""
        return [(sources, index) for sources in self.plan for index in range(len(sources))]

    def restored_images(self, sources: tuple[Source, ...]) -> int:
        """Return the number of SR images made for each of some HR images."""
        return sum(map(len, self.plan[sources].values()))

    def rows(self, place: _Place) -> list[tuple[int, tuple[Any, ...]]]:
        """Return the rows that an HR image gives, each with the number of its task."""
        sources, index = place
        read = cache(read_source)  # of this image only
        rows = []
        for data, ways in self.plan[sources].items():
            pair = data.pair(index, read)
            for (model, tile), uses in ways.items():
                sr = self.models.restore_pair(model, pair, tile)
                if self.paths:
                    write_image(self.paths[model.name, data.name, pair.name], sr)
                lr = UNKNOWN_LR if isinstance(model, SRImages) else data.lr_source.short
                for number, order in uses:
                    score = _score(self.tasks[number].protocol, sr, pair)
                    row = (order, index, model.name, data.name, pair.name, *score, lr)
                    rows.append((number, row))
        return rows


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over the images of each model and data set, in the table's order.

    The column `images` is their count. Perfectly restored images are left out of the mean PSNR (see
    `mean_psnr`) and counted in a column `perfect`, if there are any.

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
    """Return the images that were restored perfectly, by model and data set.

    >>> rows = [("a", "Set5", "x", np.inf, 1.0), ("a", "Set5", "y", 32.0, 0.9)]
    >>> perfect_images(pd.DataFrame(rows, columns=COLUMNS))
    {('a', 'Set5'): ['x']}
    """
    perfect = table[np.isinf(table["psnr_db"])]
    groups = perfect.groupby(["model", "dataset"], sort=False)["image"]
    return {(str(model), str(data)): list(images) for (model, data), images in groups}


def scorable(data: ImageSet, protocol: Protocol, *, skip_bad: bool = False) -> ImageSet:
    """Return the data set after checking that its images are large enough to be scored.

    Args:
        data: The images, whose sizes are looked at without reading them.
        protocol: How they are to be scored.
        skip_bad: Leave out images that are too small, with a warning.

    Raises:
        InputError: Images that are too small, or none that is not.
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


def check_scales(models: Iterable[AnyModel], datasets: Iterable[ImageSet]) -> None:
    """Raise an error if a model's scale is not the data set's."""
    for data in datasets:
        for model in models:
            if model.scale != data.scale:
                raise InputError(
                    f"{model.name}: a x{model.scale} model, but {data.name} is x{data.scale}"
                )


def _score(protocol: Protocol, sr: Tensor, pair: ImagePair) -> Score:
    try:
        return protocol.score(sr, pair.hr, pair.scale)
    except InputError as error:
        raise InputError(f"{pair.dataset}/{pair.name}: {error}") from error
