"""How fast `evaluate` is beside the loop that people write with NumPy and scikit-image."""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import torch

from srlongtail.image.dataset import photos
from srlongtail.image.io import write_image
from tests.benchmarks.conftest import Bench, Row

pytestmark = pytest.mark.benchmark

SIZES = {"BSD100": (321, 481), "Urban100": (681, 1024)}
IMAGES = {"BSD100": 40, "Urban100": 10}
ASSERTED = {("BSD100", 1): 1.5, ("Urban100", 1): 1.8, ("BSD100", 2): 1.8, ("Urban100", 2): 2.2}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """PNG files of the sizes of BSD100 and Urban100, cut from mosaics of the built-in photos."""
    root = tmp_path_factory.mktemp("data")
    parts = [photo.hr[:, :396, :] for photo in photos(4).without(["chelsea"])]
    row = torch.cat(parts, dim=2)
    mosaic = torch.cat([row, row.flip(2), row.flip(1)], dim=1)
    for name, (height, width) in SIZES.items():
        for index in range(IMAGES[name]):
            top, left = 11 * index % (1188 - height), 23 * index % (row.shape[2] - width)
            crop = mosaic[:, top : top + height, left : left + width]
            write_image(root / name / f"{index:02}.png", crop)
    return {name: root / name for name in SIZES}


def run_once(
    how: str, folder: Path, threads: int = 1, processes: int = 1
) -> tuple[list[float], list[list[float]]]:
    """CPU time and wall time in processes of their own, and the scores."""
    script = str(Path(__file__).with_name("evaluate_once.py"))
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(launch if processes > 1 else []), script, how, str(folder)]
    run = subprocess.run([*command, str(threads)], capture_output=True, text=True, check=True)
    result = json.loads(run.stdout)
    return result["times"], result["scores"]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", SIZES)
def test_evaluate(bench: Bench, folders: dict[str, Path], name: str, threads: int) -> None:
    times: dict[str, list[float]] = {"plain": [], "ours": []}
    scores = {}
    for _ in range(3):
        for how, column in times.items():
            (cpu, wall), scores[how] = run_once(how, folders[name], threads)
            column.append(cpu if threads == 1 else wall)
    # The network's layers round differently, which moves a few pixels by a level.
    assert np.allclose(scores["ours"], scores["plain"], rtol=0, atol=2e-4)
    what = "one thread" if threads == 1 else f"{threads} threads, wall time"
    row = Row(
        f"evaluate FSRCNN on {IMAGES[name]} {name}-size images, {what}",
        median(times["plain"]),
        median(times["ours"]),
        target=2 if threads == 1 else 3,
    )
    bench.record(row, ASSERTED[name, threads])


def test_two_processes(bench: Bench, folders: dict[str, Path]) -> None:
    rounds = [
        [run_once("ours", folders["BSD100"], processes=processes) for processes in (1, 2)]
        for _ in range(3)
    ]
    for (_, scores_of_one), (_, scores_of_two) in rounds:
        assert scores_of_one == scores_of_two
    of_one, of_two = (
        median(times[0] for times, _ in column) for column in zip(*rounds, strict=True)
    )
    what = "evaluate in two processes against one, CPU time of the slower"
    bench.record(Row(what, of_one, of_two, target=1.8))
