"""The trained networks that ship with the package: what they are, and how they are made."""

import math
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from srlongtail.ablation.grids import GRIDS, Grid
from srlongtail.ablation.losses import LossGrid, loss_grid, run_losses
from srlongtail.ablation.run import run_grid
from srlongtail.ablation.work_queue import run_tasks
from srlongtail.device import find_device
from srlongtail.errors import InputError, suggestion
from srlongtail.files import replacing
from srlongtail.image.dataset import ImageSet
from srlongtail.models.facts import Provenance, Training
from srlongtail.models.find import ZOO as SHIPPED
from srlongtail.models.state import read_state
from srlongtail.training.images import describe, find_images
from srlongtail.training.lock import InUseError
from srlongtail.training.loop import train
from srlongtail.training.patches import SharedBank
from srlongtail.training.recipe import Recipe, find_recipe
from srlongtail.training.runfolder import find_finished, folder_name

_WEIGHTS = ".safetensors"


@dataclass(frozen=True)
class ZooNetwork:
    """A network of the zoo.

    Attributes:
        name: Of the network and of its recipe.
        cpu_iterations: Where no GPU is at hand; 0: not trained there.
        gpu_iterations: Where one is.
        ships: Whether it is small enough for the package; `.gitignore` names those that are not.
    """

    name: str
    cpu_iterations: int = 0
    gpu_iterations: int = 500_000
    ships: bool = True

    def recipe(self, device_type: str) -> Recipe | None:
        """Return the recipe to run on this kind of device, if any."""
        iterations = self.gpu_iterations if device_type == "cuda" else self.cpu_iterations
        return replace(find_recipe(self.name), iterations=iterations) if iterations else None


ZooEntry = ZooNetwork | Grid | LossGrid

ZOO: tuple[ZooEntry, ...] = (
    ZooNetwork("fsrcnn-x4", 50_000),
    ZooNetwork("fsrcnn-fpl-x4", 50_000),
    ZooNetwork("fsrcnn-skip-x4", 50_000),
    GRIDS["seed-spread"],
    GRIDS["skip-static-learnable"],
    ZooNetwork("fsrcnn-x2", 15_000),
    ZooNetwork("fsrcnn-fpl-x2", 15_000),
    ZooNetwork("fsrcnn-x4-degraded", 15_000),
    ZooNetwork("fsrcnn-fpl-x4-degraded", 15_000),
    GRIDS["focal-parameters"],
    loss_grid(),
    GRIDS["capacity"],
    ZooNetwork("carn-x4"),
    ZooNetwork("carn-fpl-x4"),
    ZooNetwork("bsrn-x4"),
    ZooNetwork("bsrn-fpl-x4"),
    ZooNetwork("srresnet-x4", ships=False),
    ZooNetwork("srresnet-fpl-x4", ships=False),
    ZooNetwork("swinir-x4", ships=False),
    ZooNetwork("swinir-fpl-x4", ships=False),
    ZooNetwork("msrn-x4", ships=False),
    ZooNetwork("msrn-fpl-x4", ships=False),
)
"""In order of value. The iterations on a CPU are what a night allows; 500K are the paper's."""


def list_zoo(*folders: str | os.PathLike[str]) -> pd.DataFrame:
    """Return which zoo entries exist in some folders, by default in the package: a row per entry.

    Columns `name, state, iterations, validation, psnr_db, bicubic_psnr_db, ssim`.
    """
    places = [Path(folder) for folder in folders or (SHIPPED,)]
    rows = [{"name": entry.name, **_state(entry, places)} for entry in ZOO]
    columns = ["name", "state", "iterations", "validation", "psnr_db", "bicubic_psnr_db", "ssim"]
    return pd.DataFrame(rows, columns=columns).astype({"iterations": "Int64"})


def checkout() -> Path | None:
    """Return the zoo's folder if the package runs from a source checkout."""
    return SHIPPED if (SHIPPED.parents[1] / "pyproject.toml").is_file() else None


def build_zoo(
    data: Iterable[str],
    out: str | os.PathLike[str],
    *,
    only: Sequence[str] = (),
    tests: Sequence[ImageSet] | None = None,
    install: str | os.PathLike[str] | None = None,
    device: str | None = None,
    deadline: float = math.inf,
    tell: Callable[[str], object] | None = None,
) -> None:
    """Train missing networks one after the other, and install those that ship.

    This may be killed at any time: a second run repeats nothing and resumes unfinished runs.
    Several processes can share one folder: each picks up runs that no other process has started,
    and waits at the end until all are done.

    Args:
        data: Folders of training images.
        out: Folder for the runs.
        only: Names of entries; all unless given.
        tests: Data sets that grids are measured on; the built-in photos unless given.
        install: Folder for the networks, and for the grids' tables.
        device, deadline, tell: See `train`.

    Raises:
        InputError: An unknown entry, or, after all others were tried, an entry that failed.
        StoppedError: See `train`.
    """
    entries = _chosen(only)
    builder = _Builder(Path(out), tuple(data), tests, device, deadline, tell)
    failed = []

    def build(entry: ZooEntry) -> None:
        try:
            files = builder.make(entry)
        except InUseError:
            raise
        except InputError as error:
            builder.say(f"{entry.name}: {error}")
            failed.append(entry.name)
            return
        if install is not None:
            for file in files:
                name = f"{entry.name}{file.suffix}" if file.suffix == _WEIGHTS else file.name
                _install(file, Path(install) / name)

    for _ in run_tasks(entries, build, deadline=deadline, tell=tell):
        pass
    if failed:
        raise InputError(f"not built: {', '.join(failed)}, expected every entry; see above")


class _Builder:
    """Makes entries below a folder, and keeps the training images from one to the next."""

    def __init__(
        self,
        out: Path,
        data: tuple[str, ...],
        tests: Sequence[ImageSet] | None,
        device: str | None,
        deadline: float,
        tell: Callable[[str], object] | None,
    ) -> None:
        self.out = out
        self.data = data
        self.tests = tests
        self.source = describe(find_images(data))
        self.bank = SharedBank()
        self.device_type = find_device(device).type
        self.tell = tell or (lambda line: None)
        self.told: set[str] = set()
        self.options: dict[str, Any] = {"device": device, "deadline": deadline, "tell": tell}

    def say(self, line: str) -> None:
        """Tell a line, once: an entry that another process is busy with is tried again."""
        if line not in self.told:
            self.told.add(line)
            self.tell(line)

    def make(self, entry: ZooEntry) -> list[Path]:
        """Return the files of an entry; none if it is not made on this device."""
        if not isinstance(entry, ZooNetwork):
            self.say(f"{entry.name}: {entry.iterations} iterations a run")
            return self._grid(entry)
        recipe = entry.recipe(self.device_type)
        if recipe is None:
            self.say(f"{entry.name}: made on a GPU only")
            return []
        self.say(f"{entry.name}: {recipe.iterations} iterations")
        return [self._network(replace(recipe, data=self.data))]

    def _network(self, recipe: Recipe) -> Path:
        run = find_finished(recipe, self.source, self.out)
        if run is None:
            run = self.out / folder_name(recipe, self.source)
            train(recipe, run, resume=True, find_bank=self.bank.of, **self.options)
        return run / "checkpoint.safetensors"

    def _grid(self, grid: Grid | LossGrid) -> list[Path]:
        folder = self.out / grid.name
        files = [folder / f"{grid.name}.csv", folder / f"{grid.name}.json"]
        # There may be other entries to go on with.
        options = {**self.options, "bank": self.bank, "wait": False}
        if isinstance(grid, LossGrid):
            run_losses(grid, folder, self.data, tests=self.tests or (), **options)
            return [*files, folder / f"{grid.name}-gradients.csv"]
        run_grid(grid, folder, self.data, tests=self.tests, reuse=self.out, **options)
        return files


def _chosen(only: Sequence[str]) -> list[ZooEntry]:
    names = [entry.name for entry in ZOO]
    for name in only:
        if name not in names:
            raise InputError(f"unknown zoo entry {name!r}{suggestion(name, names)}")
    return [entry for entry in ZOO if not only or entry.name in only]


def _state(entry: ZooEntry, folders: Sequence[Path]) -> dict[str, Any]:
    ending = _WEIGHTS if isinstance(entry, ZooNetwork) else ".csv"
    files = (folder / f"{entry.name}{ending}" for folder in folders)
    path = next((file for file in files if file.is_file()), None)
    if not isinstance(entry, ZooNetwork):
        keys = ["arm", "seed"] if isinstance(entry, Grid) else ["loss", "seed", "iterations"]
        done = len(pd.read_csv(path).groupby(keys)) if path else 0
        runs = sum(1 for _ in entry.runs())
        partly = f"{done} of {runs} runs" if done else "missing"
        return {"state": "there" if done == runs else partly, "iterations": entry.iterations}
    if path is None:
        return {"state": "missing" if entry.ships else "too large to ship"}
    known = _training(path)
    fit = known.run.get("validation", {})
    return {
        "state": "there",
        "iterations": known.iterations,
        "validation": fit.get("dataset"),
        "psnr_db": fit.get("psnr_db"),
        "bicubic_psnr_db": fit.get("bicubic", {}).get("psnr_db"),
        "ssim": fit.get("ssim"),
    }


def _install(file: Path, target: Path) -> None:
    """Copy a file, unless it would replace a network that was trained for longer."""
    if target.suffix == _WEIGHTS and target.is_file():
        there, here = (_training(path).iterations for path in (target, file))
        if there > here:
            return
    with replacing(target) as temporary:
        shutil.copyfile(file, temporary)


def _training(path: Path) -> Training:
    known = Provenance.from_header(read_state(path)[1].get("provenance", {})).training
    return known or Training(iterations=0)
