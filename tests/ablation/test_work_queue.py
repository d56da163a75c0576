"""Two processes in one folder: what one is busy with, the other puts off."""

import subprocess
import sys
import time
from dataclasses import replace

import pandas as pd
import pytest

from srlongtail.ablation import work_queue, zoo
from srlongtail.ablation.grids import Grid
from srlongtail.ablation.run import run_grid
from srlongtail.ablation.work_queue import run_tasks
from srlongtail.ablation.zoo import ZooNetwork, build_zoo
from srlongtail.errors import InputError
from srlongtail.image.dataset import open_data
from srlongtail.models.checkpoint import load_model
from srlongtail.training.images import describe, find_images
from srlongtail.training.interruption import StoppedError
from srlongtail.training.lock import InUseError, locked
from srlongtail.training.recipe import RECIPES, write_recipe
from srlongtail.training.runfolder import folder_name

HOLD = """
import sys, time
from pathlib import Path
from srlongtail.training.lock import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""

# Says whose turn it was by "done" lines, one a run that this process trained to its end.
WORK = """
import sys, torch
from srlongtail.image.dataset import open_data
from srlongtail.ablation import work_queue
from srlongtail.ablation.grids import Grid
from srlongtail.ablation.run import run_grid
torch.set_num_threads(1)
work_queue.PAUSE_S = 0.2
recipe, out, train, valid = sys.argv[1:]
arms = {"fpl": {}, "skip": {"static": False, "learnable": False}}
grid = Grid("pair", recipe, arms, iterations=100, seeds=(0, 1, 2))
ready = lambda line: print("done" if line.startswith("100/100") else line, flush=True)
print("ready", flush=True)
sys.stdin.readline()
run_grid(grid, out, [train], tests=[open_data(valid)], tell=ready)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Look again at once."""
    monkeypatch.setattr(work_queue, "PAUSE_S", 0.02)


@pytest.fixture
def hold():
    """Let another process lock a folder, until it is killed."""
    holders = []

    def lock(folder):
        script = [sys.executable, "-c", HOLD, folder]
        holders.append(subprocess.Popen(script, stdout=subprocess.PIPE))
        assert holders[-1].stdout.readline() == b"locked\n"
        return holders[-1]

    yield lock
    for holder in holders:
        holder.kill()
        holder.wait()


@pytest.fixture
def grid(recipe, tmp_path):
    """One arm with three seeds of the small run."""
    write_recipe(tmp_path / "small.toml", recipe)
    return Grid("seeds", str(tmp_path / "small.toml"), {"fpl": {}}, iterations=2, seeds=(0, 1, 2))


def run_folder(out, recipe, data):
    """Where a run on the training images lies."""
    return out / folder_name(recipe, describe(find_images([data / "train"])))


def test_what_is_in_use_comes_last():
    visits = []

    def do(task):
        visits.append(task)
        if task == "a" and visits.count("a") < 4:
            raise InUseError("a is in use")
        return task.upper()

    lines = []
    assert list(run_tasks("abc", do, tell=lines.append)) == ["B", "C", "A"]
    assert visits == ["a", "b", "c", "a", "a", "a"]
    assert lines == ["waiting for others: a is in use"]


def test_the_end_of_waiting():
    def busy(task):
        raise InUseError(f"{task} is in use")

    with pytest.raises(InUseError, match="b is in use"):
        list(run_tasks("ab", busy, wait=False))
    with pytest.raises(StoppedError, match="stopped while other processes were at work"):
        list(run_tasks("ab", busy, deadline=time.monotonic() + 0.05))


def test_other_mistakes_are_not_put_off():
    def wrong(task):
        raise InputError(task)

    with pytest.raises(InputError, match="a"):
        list(run_tasks("ab", wrong))


def test_a_grid_goes_round_a_run_that_is_in_use(grid, data, tmp_path, hold):
    out, options = tmp_path / "out", {"tests": [open_data(data / "valid")]}
    holder = hold(run_folder(out, next(grid.runs())[1], data))
    with pytest.raises(InUseError, match=f"fpl-seed0-.*: process {holder.pid} trains there"):
        run_grid(grid, out, [str(data / "train")], wait=False, **options)
    assert pd.read_csv(out / "seeds.csv")["seed"].tolist() == [1, 2]
    holder.kill()
    run_grid(grid, out, [str(data / "train")], **options)
    assert pd.read_csv(out / "seeds.csv")["seed"].tolist() == [0, 1, 2]


def test_the_zoo_goes_round_what_is_in_use(grid, recipe, data, tmp_path, hold, monkeypatch):
    for name in ("fsrcnn-x4", "fsrcnn-fpl-x4"):
        small = replace(recipe, name=name, skip="fpl" in name)
        monkeypatch.setitem(RECIPES, name, small)
    entries = ZooNetwork("fsrcnn-x4", 2), grid, ZooNetwork("fsrcnn-fpl-x4", 2)
    monkeypatch.setattr(zoo, "ZOO", entries)
    out, lines = tmp_path / "out", []
    held = replace(RECIPES["fsrcnn-x4"], iterations=2), list(grid.runs())[1][1]
    folders = zip((out, out / "seeds"), held, strict=True)
    holders = [hold(run_folder(folder, recipe, data)) for folder, recipe in folders]

    def tell(line):
        lines.append(line)
        if line.startswith("waiting"):
            for holder in holders:
                holder.kill()

    tests = [open_data(data / "valid")]
    build_zoo(
        [str(data / "train")], out, tests=tests, install=tmp_path / "zoo", tell=tell, device="cpu"
    )
    headings = [line for line in lines if line.startswith(("fsrcnn", "seeds", "waiting"))]
    assert [line.split(":")[0] for line in headings] == [
        *("fsrcnn-x4", "seeds", "fsrcnn-fpl-x4"),
        "waiting for others",
    ]
    assert len(list((tmp_path / "zoo").iterdir())) == 4
    assert pd.read_csv(tmp_path / "zoo" / "seeds.csv")["seed"].tolist() == [0, 1, 2]


@pytest.mark.slow
def test_two_processes_share_a_grid(recipe, data, tmp_path):
    write_recipe(tmp_path / "small.toml", replace(recipe, validate_every=100, log_every=100))
    places = [tmp_path / "small.toml", tmp_path / "out", data / "train", data / "valid"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([sys.executable, "-c", WORK, *places], **pipes) for _ in range(2)]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    done = [text.count("done\n") for text in printed]
    assert sum(done) == 6
    assert min(done) >= 1
    table = pd.read_csv(tmp_path / "out" / "pair.csv")
    assert len(table) == 6
    for arm, seed in zip(table["arm"], table["seed"], strict=True):
        (run,) = (tmp_path / "out").glob(f"{arm}-seed{seed}-*")
        assert load_model(run).provenance.training.iterations == 100


def test_waiting_for_a_lock(tmp_path, hold):
    holder = hold(tmp_path)
    with pytest.raises(InUseError, match=f"process {holder.pid} trains there"), locked(tmp_path):
        pass
    began = time.monotonic()
    release = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -9 {holder.pid}"])
    with locked(tmp_path, wait=True):
        assert time.monotonic() - began > 0.2
    release.wait()
