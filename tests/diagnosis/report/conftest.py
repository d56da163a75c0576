"""Planted networks: folders of SR images whose fault is known."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, shift

from srlongtail.diagnosis.report import page, survey
from srlongtail.image.dataset import ImagePair, open_data, photos
from srlongtail.image.io import write_image
from srlongtail.image.resample import upsample_bicubic
from srlongtail.models.sr_images import SRImages
from srlongtail.models.sr_model import matlab_bicubic

SIDE = 192


def healthy(pair: ImagePair) -> torch.Tensor:
    """Half of what bicubic misses is restored."""
    return (pair.hr + upsample_bicubic(pair.lr, 4).clamp(0, 1)) / 2


def of_array(function):
    return lambda pair: torch.from_numpy(function(healthy(pair).numpy()))


def noisy(pair: ImagePair) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(pair.name))
    return healthy(pair) + torch.randn(pair.hr.shape, generator=generator) * 6 / 255


def faded(pair: ImagePair) -> torch.Tensor:
    mean = healthy(pair).mean((-2, -1), keepdim=True)
    return mean + 0.9 * (healthy(pair) - mean)


PLANTED = {
    "healthy": healthy,
    "blurred": of_array(lambda x: gaussian_filter(x, (0, 1.5, 1.5))),
    "noisy": noisy,
    "biased": lambda pair: healthy(pair) + torch.tensor([4.0, 0.0, -3.0])[:, None, None] / 255,
    "faded": faded,
    "shifted": of_array(lambda x: shift(x, (0, 0.5, 0), order=5, mode="nearest")),
    "perfect": lambda pair: pair.hr,
}


@dataclass(frozen=True)
class Planted:
    """Crops of the built-in photos, in a folder, and a folder of SR images for each network."""

    root: Path
    data: Path

    def models(self, *names: str) -> list[SRImages]:
        return [SRImages(self.root / name, 4) for name in names]

    @property
    def images(self):
        return open_data(str(self.data), 4)


@pytest.fixture(scope="session")
def planted(tmp_path_factory) -> Planted:
    root = tmp_path_factory.mktemp("planted")
    for pair in photos(4):
        top, left = ((side - SIDE) // 2 for side in pair.hr.shape[-2:])
        crop = pair.hr[:, top : top + SIDE, left : left + SIDE]
        write_image(root / "Crops" / f"{pair.name}.png", crop)
    found = Planted(root, root / "Crops")
    for pair in found.images:
        for name, make in PLANTED.items():
            write_image(root / name / f"{pair.name}.png", make(pair).clamp(0, 1))
    return found


@pytest.fixture(scope="session")
def surveyed(planted):
    """A quick look at all planted networks."""
    return survey.compute(planted.models(*PLANTED), [planted.images], quick=True)


@pytest.fixture(scope="session")
def found(planted):
    """All that is measured of one network on two images."""
    return survey.compute([matlab_bicubic(4)], [planted.images[:2]])


@pytest.fixture(scope="session")
def written(found, tmp_path_factory):
    """The page about it."""
    return page.write_report(found, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="session")
def numbers_in():
    """Return the numbers in a text."""
    return lambda text: np.array([float(n) for n in re.findall(r"[-+]?\d+\.\d+", text)])
