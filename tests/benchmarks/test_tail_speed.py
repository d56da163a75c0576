"""AD histograms and tenths of 2K images, from the difference maps of three models."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from srlongtail.longtail.bands import means_by_tenth
from srlongtail.longtail.difference import EDGES, DifferenceHistogram
from srlongtail.longtail.tail import tenth_of_pixels
from tests.benchmarks.conftest import Bench, Row

pytestmark = pytest.mark.benchmark

MODELS = ("bicubic", "FSRCNN", "CARN")
IMAGES = 4  # of 100: every image takes the same time, and nothing of it is kept
MANY = 100

# Measures images in a process of its own, and prints the largest memory that it took.
MEASURE = """
import resource
import sys
import torch
from tests.benchmarks.test_tail_speed import maps, ours
torch.set_num_threads(1)
ours(map(maps, range(int(sys.argv[1]))))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def maps(image: int) -> tuple[dict[str, Tensor], Tensor]:
    """AD of three models, and how hard the pixels are; a tenth of the pixels is flat."""
    generator = torch.Generator().manual_seed(image)
    hard = torch.rand(1356, 2040, generator=generator, dtype=torch.float64).mul_(200)
    hard[:136] = 0
    ads = torch.rand(len(MODELS), 1356, 2040, generator=generator).pow_(4).mul_(219)
    return dict(zip(MODELS, ads, strict=True)), hard


def plain(images: list[tuple[dict[str, Tensor], Tensor]]) -> dict[str, list[NDArray[np.float64]]]:
    """Counts and sums of AD, and the mean AD of each tenth of each image."""
    bins = {"bins": len(EDGES) - 1, "range": (0, 219)}
    counts, sums = (dict.fromkeys(MODELS, np.zeros(len(EDGES) - 1)) for _ in range(2))
    means: dict[str, list[list[tuple[float, float]]]] = {model: [] for model in MODELS}
    for ads, hard in images:
        tenths = np.array_split(np.argsort(hard.numpy().ravel(), kind="stable"), 10)
        for model in MODELS:
            values = ads[model].numpy().astype(np.float64).ravel()
            counts[model] = counts[model] + np.histogram(values, **bins)[0]
            sums[model] = sums[model] + np.histogram(values, **bins, weights=values)[0]
            means[model].append(
                [(values[pixels].mean(), (values[pixels] ** 2).mean()) for pixels in tenths]
            )
    return {model: [counts[model], sums[model], np.array(means[model])] for model in MODELS}


def ours(
    images: Iterable[tuple[dict[str, Tensor], Tensor]],
) -> dict[str, list[NDArray[np.float64]]]:
    total, rows = DifferenceHistogram.empty(MODELS), []
    for ads, hard in images:
        total += DifferenceHistogram.of(ads)
        tenths = tenth_of_pixels(hard)
        rows.append([means_by_tenth(ads[model], tenths) for model in MODELS])
    return {
        model: [
            total.counts[model],
            total.sums[model],
            np.array([[row[-2:] for row in image[number]] for image in rows]),
        ]
        for number, model in enumerate(MODELS)
    }


def test_histogram_and_tenths_of_2k_images(bench: Bench) -> None:
    images = [maps(image) for image in range(IMAGES)]
    found, expected = ours(images), plain(images)
    for model in MODELS:
        for one, other in zip(found[model], expected[model], strict=True):
            assert np.allclose(one, other, rtol=1e-9)
    bench.compare(
        f"AD histograms and tenths of {IMAGES} 2K images, 3 models",
        lambda: plain(images),
        lambda: ours(images),
        target=3,
        asserted=2.5,
        rounds=3,
    )


def test_memory_does_not_grow_with_the_images(bench: Bench) -> None:
    few, many = (
        int(
            subprocess.run(
                [sys.executable, "-c", MEASURE, str(count)],
                cwd=Path(__file__).parents[2],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for count in (IMAGES, MANY)
    )
    # Of one image, a single map kept would add 1 GB. The heap is a few arrays larger after many.
    to_gb = (1 if sys.platform == "darwin" else 1024) / 1e9
    what = f"memory of AD histograms and tenths, {MANY} 2K images against {IMAGES}"
    bench.record(Row(what, few * to_gb, many * to_gb, 1.3, more_is_better=False, unit="GB"))
