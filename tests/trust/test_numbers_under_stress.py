"""Images that break arithmetic: constant, saturated, perfect, one row, one image."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from srlongtail.errors import InputError
from srlongtail.image.dataset import ImagePair, make_pair
from srlongtail.image.degrade import Bicubic
from srlongtail.image.resample import upsample_bicubic
from srlongtail.longtail.bands import measure_bands
from srlongtail.longtail.comparison import compare
from srlongtail.longtail.difference import difference_histogram
from srlongtail.longtail.spectrum import error_spectrum, tail_frequency
from srlongtail.longtail.systematic import measure_systematic
from srlongtail.longtail.tail import measure_tail, split_by_rank
from srlongtail.models.checkpoint import load_model


def bicubic(lr: torch.Tensor) -> torch.Tensor:
    return upsample_bicubic(lr, 4)


def grey(lr: torch.Tensor) -> torch.Tensor:
    return bicubic(lr) * 0 + 0.5


def image(kind: str) -> torch.Tensor:
    noise = torch.rand(3, 96, 96, generator=torch.Generator().manual_seed(0))
    return {
        "black": torch.zeros(3, 96, 96),
        "white": torch.ones(3, 96, 96),
        "grey": torch.full((3, 96, 96), 0.5),
        "saturated": noise.round(),
        "one white pixel": torch.zeros(3, 96, 96).index_put(
            (torch.tensor(0), torch.tensor(5), torch.tensor(7)), torch.tensor(1.0)
        ),
    }[kind]


KINDS = ("black", "white", "grey", "saturated", "one white pixel")


def pairs_of(*kinds: str) -> list[ImagePair]:
    return [make_pair(image(kind), Bicubic(4), kind, "stress") for kind in kinds]


MEASURES = {
    "bands": lambda models, pairs: measure_bands(models, pairs).summary(),
    "pooled bands": lambda models, pairs: measure_bands(models, pairs, pooled=True).summary(),
    "shares": lambda models, pairs: measure_bands(models, pairs).loss_shares(),
    "histogram": lambda models, pairs: difference_histogram(models, pairs).summary(5.0),
    "tail": lambda models, pairs: measure_tail(models, pairs).frame(),
    "spectrum": lambda models, pairs: error_spectrum(models, pairs).frame(),
    "tail frequency": lambda models, pairs: tail_frequency(pairs).cross_table(),
    "systematic": lambda models, pairs: measure_systematic(models, pairs).frame(),
    "comparison": lambda models, pairs: compare(grey, bicubic, pairs).frame(),
}


def check(measure: str, pairs: list[ImagePair]) -> None:
    """It ends in a table without infinite numbers (NaN is unknown) or in one line; never warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            table = MEASURES[measure]({"bicubic": bicubic, "grey": grey}, pairs)
        except InputError:
            return
    columns = table.select_dtypes("number").drop(columns="tail_index", errors="ignore")
    values = columns.drop(columns=["tail_index_high", "tail_index_low"], errors="ignore")
    assert not np.isinf(values.to_numpy(float)).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("measure", MEASURES)
def test_one_image_without_anything_in_it(measure, kind):
    check(measure, pairs_of(kind))


@pytest.mark.parametrize("size", [(4, 96), (96, 4), (4, 4), (8, 400)])
@pytest.mark.parametrize("measure", MEASURES)
def test_one_image_of_one_row_of_lr(measure, size):
    noise = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    check(measure, [ImagePair("thin", noise, noise[:, ::4, ::4], "stress")])


@pytest.mark.slow
def test_an_image_of_40_megapixels():
    """Scored, and measured in bands and in a histogram, with no more than 6 GB."""
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    psnr, of_tenths, of_histogram, gigabytes = map(float, done.stdout.split())
    assert psnr == pytest.approx(10 * np.log10(12), abs=1e-3)  # uniform noise against grey
    assert of_tenths == pytest.approx(of_histogram, rel=1e-6)
    assert gigabytes < 6


LARGE = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
import torch
from srlongtail.metrics import PAPER
from tests.trust.test_numbers_under_stress import MEASURES, grey, make_pair, Bicubic
torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
pair = make_pair(torch.rand(3, 5160, 7752, generator=generator), Bicubic(4), "large", "stress")
print(PAPER.score(grey(pair.lr), pair.hr, 4).psnr_db)
print(MEASURES["bands"]({{"grey": grey}}, [pair])["estimate"].mean())
print(MEASURES["histogram"]({{"grey": grey}}, [pair])["mean_ad"].item())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_identical_networks_gain_nothing_whatever_the_image(kind):
    found = compare(grey, grey, pairs_of(kind, "saturated"))
    assert found.gain[:3] == (0, 0, 0)


def test_bands_of_one_pixel_and_of_none():
    bands = split_by_rank(torch.tensor([3.0, 1.0, 2.0]), 3)
    assert [band.tolist() for band in bands] == [[1], [2], [0]]
    assert sorted(len(band) for band in split_by_rank(torch.ones(2), 10)) == [0] * 8 + [1, 1]


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 3)])
def test_images_of_one_row_are_restored(size):
    model = load_model("fsrcnn-x4")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        sr = model.restore(torch.full((3, *size), 0.5))
    assert sr.shape == (3, size[0] * 4, size[1] * 4)
    assert torch.isfinite(sr).all()
