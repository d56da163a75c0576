"""How fast the trainer is beside a plain loop."""

import csv
import os
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from srlongtail.focal.loss import FocalPixelLoss
from srlongtail.image.dataset import photos
from srlongtail.image.degrade import Bicubic
from srlongtail.image.io import write_image
from srlongtail.image.resample import upsample_bicubic
from srlongtail.models.catalog import new_model
from srlongtail.models.fast.process import keep_memory
from srlongtail.training.learner import Learner
from srlongtail.training.loop import train
from srlongtail.training.patches import PatchBank
from srlongtail.training.recipe import Recipe, find_recipe
from tests.benchmarks.conftest import Row, median_seconds

pytestmark = pytest.mark.benchmark

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CORES = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
ROUNDS = 5
TARGET = {("fsrcnn", "cpu"): 3, ("fsrcnn", "cuda"): 10, ("carn", "cuda"): 3}  # ours to plain
ASSERTED = {("fsrcnn", "cpu"): 1.5}
ITERATIONS = 500 if DEVICE == "cuda" else 15


@pytest.fixture(autouse=True)
def all_cores(one_thread):
    """The other benchmarks use one thread."""
    torch.set_num_threads(CORES)


class SubImages(Dataset):
    """PNG sub-images on disk, cropped, mirrored and turned: how most SR code bases feed a loop."""

    def __init__(self, folder: Path, size: int, patch: int) -> None:
        self.patch = patch
        self.files = []
        for photo in photos(4):
            for row in range(0, photo.hr.shape[-2] - size + 1, size // 2):
                for column in range(0, photo.hr.shape[-1] - size + 1, size // 2):
                    crop = photo.hr[:, row : row + size, column : column + size]
                    path = folder / f"{len(self.files)}.png"
                    write_image(path, crop)
                    write_image(folder / "lr" / path.name, Bicubic(4)(crop))
                    self.files.append(path)

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng(index)
        path = self.files[index % len(self.files)]
        hr, lr = (np.asarray(Image.open(p)) for p in (path, path.parent / "lr" / path.name))
        row, column = (rng.integers(side - self.patch + 1) for side in lr.shape[:2])
        lr = lr[row : row + self.patch, column : column + self.patch]
        hr = hr[4 * row :, 4 * column :][: 4 * self.patch, : 4 * self.patch]
        flip, turn = rng.integers(2), rng.integers(4)
        return tuple(self._tensor(np.rot90(x[:, :: 1 - 2 * flip], turn)) for x in (lr, hr))

    @staticmethod
    def _tensor(image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255


class PlainLoop:
    """The loop of most SR code bases, with the same network, loss and optimiser."""

    def __init__(self, recipe: Recipe, data: SubImages) -> None:
        self.recipe = recipe
        self.model = new_model(recipe.network, 4).to(DEVICE).train()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=recipe.learning_rate)
        self.loss = FocalPixelLoss()
        loader = DataLoader(
            data, recipe.batch, shuffle=True, num_workers=CORES, pin_memory=DEVICE == "cuda"
        )
        self.batches = iter(loader)

    def run(self, iterations: int) -> tuple[float, float]:
        """Iterations a second, and CPU seconds of this process an iteration."""
        start, cpu_start = perf_counter(), process_time()
        for _ in range(iterations):
            lr, hr = (x.to(DEVICE, non_blocking=True) for x in next(self.batches))
            bicubic = upsample_bicubic(lr, 4)
            loss = self.loss(self.model.output(lr) + bicubic, hr, bicubic)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            loss.item()
        return iterations / (perf_counter() - start), (process_time() - cpu_start) / iterations


@pytest.mark.parametrize("network", ["fsrcnn", *(["carn"] if DEVICE == "cuda" else [])])
@pytest.mark.parametrize("size", [128, 240], ids=["sub-images-of-a-patch", "larger-sub-images"])
def test_the_loop_against_a_plain_one(bench, network, size, tmp_path):
    recipe = replace(find_recipe(f"{network}-fpl-x4"), log_every=ITERATIONS)
    data = SubImages(tmp_path / "png", size, recipe.patch)
    plain = PlainLoop(recipe, data)
    bank = PatchBank(photos(4), recipe.patch, DEVICE)
    runs = count()

    def run(iterations: int) -> tuple[float, float]:
        """Iterations a second at the end, and CPU seconds of the whole run."""
        folder, start = tmp_path / str(next(runs)), process_time()
        short = replace(recipe, iterations=iterations, validate_every=10**6)
        train(short, folder, device=DEVICE, find_bank=lambda *_: bank)
        with (folder / "log.csv").open() as file:
            speed = float(list(csv.DictReader(file))[-1]["iterations_per_s"])
        return speed, process_time() - start

    def ours() -> tuple[float, float]:
        """As of the plain loop; what comes before and after the loop is the same in both runs."""
        (_, short), (speed, long) = run(ITERATIONS), run(3 * ITERATIONS)
        return speed, (long - short) / (2 * ITERATIONS)

    plain.run(ITERATIONS)
    rounds = [(*ours(), *plain.run(ITERATIONS)) for _ in range(ROUNDS)]
    fast, fast_cpu, slow, slow_cpu = (median(column) for column in zip(*rounds, strict=True))
    start = process_time()
    for index in range(10 * recipe.batch):
        data[index]
    reading = (process_time() - start) / 10
    print(
        f"\n{network}, PNG sub-images of {size} pixels, {DEVICE}, {CORES} threads: "
        f"ours {fast:.2f} it/s, plain loop {slow:.2f} it/s, ratio {fast / slow:.2f}; "
        f"CPU time an iteration: ours {1000 * fast_cpu:.0f} ms, plain {1000 * slow_cpu:.0f} ms "
        f"and {1000 * reading:.0f} ms in its workers"
    )
    what = f"training {network}, PNG sub-images of {size} pixels, {DEVICE}"
    row = Row(what, 1 / slow, 1 / fast, TARGET[network, DEVICE])
    bench.record(row, ASSERTED.get((network, DEVICE)))


MOST = {"fsrcnn": 1.10, "srresnet": 1.03}  # a step with FPL to one with L1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("network", MOST)
def test_what_the_weights_cost(bench, network, precision):
    keep_memory()  # as for every run
    device = torch.device(DEVICE)
    batch = 16 if DEVICE == "cuda" or network == "fsrcnn" else 2
    lr, hr = (
        torch.rand(batch, 3, side, side, device=device).to(memory_format=torch.channels_last)
        for side in (32, 128)
    )
    learners = [
        Learner(replace(find_recipe(f"{network}-{arm}-x4"), precision=precision), device, device)
        for arm in ("skip", "fpl")
    ]

    def steps(learner: Learner) -> None:
        for _ in range(3):
            learner.optimizer.zero_grad()
            learner.objective(lr, hr).backward()
            learner.optimizer.step()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    # CPU time where it is the CPU that works, so that other processes do not count.
    times = median_seconds(
        *(partial(steps, learner) for learner in learners),
        rounds=4 * ROUNDS,
        clock=perf_counter if DEVICE == "cuda" else process_time,
    )
    what = f"three steps of {network} with FPL against L1, {precision}, batch {batch}, {DEVICE}"
    bench.record(Row(what, *times, MOST[network], more_is_better=False))
