"""PSNR and SSIM of any number of models on any number of data sets, as a tidy table."""

from collections.abc import Iterable, Sequence
from itertools import chain

import pandas as pd
from tqdm import tqdm

from srlongtail.errors import InputError
from srlongtail.image.dataset import ImagePair, ImageSet
from srlongtail.metrics import PAPER, Protocol
from srlongtail.models.sr_model import SRModel
from srlongtail.parallel import gather, is_writer, share

COLUMNS = ("model", "dataset", "image", "psnr_db", "ssim")


def evaluate(
    models: Sequence[SRModel], datasets: Iterable[ImageSet], protocol: Protocol = PAPER
) -> pd.DataFrame:
    """Score every model on every image: one row for each, columns `COLUMNS`.

    Images are read one at a time. Under `torchrun` (inside `process_group`) the processes share
    them out, and every process gets the whole table.

    Raises:
        InputError: a model whose scale is not the data set's, or an image that cannot be scored.

    >>> from srlongtail.image.dataset import photos
    >>> from srlongtail.models.sr_model import bicubic
    >>> evaluate([bicubic(4)], [photos(4)[1:2]]).round(1).values.tolist()
    [['bicubic', 'photos', 'chelsea', 30.1, 0.8]]
    """
    datasets = list(datasets)
    check_scales(models, datasets)
    places = [(data, index) for data in datasets for index in range(len(data))]
    bar = tqdm(total=len(places) * len(models), disable=None if is_writer() else True, unit="image")
    rows = []
    with bar:
        for number, (data, index) in share(list(enumerate(places))):
            pair = data[index]
            for order, model in enumerate(models):
                rows.append((order, number, *_score(model, pair, protocol)))
                bar.update()
    all_rows = sorted(chain.from_iterable(gather(rows)))
    table = pd.DataFrame(all_rows, columns=["order", "number", *COLUMNS])
    return table[list(COLUMNS)]


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over the images of each model and data set, in the table's order, with their count.

    >>> rows = [("a", "Set5", "x", 30.0, 0.8), ("a", "Set5", "y", 32.0, 0.9)]
    >>> summarize(pd.DataFrame(rows, columns=COLUMNS)).round(2).values.tolist()
    [['a', 'Set5', 2, 31.0, 0.85]]
    """
    groups = table.groupby(["model", "dataset"], sort=False)
    return groups.agg(
        images=("image", "size"), psnr_db=("psnr_db", "mean"), ssim=("ssim", "mean")
    ).reset_index()


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
    score = protocol.score(model.restore(pair.lr, tile), pair.hr, pair.scale)
    return model.name, pair.dataset, pair.name, score.psnr_db, score.ssim
