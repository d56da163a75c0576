"""Run a grid of recipes, each with several seeds, and measure what came of them."""

import math
import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from srlongtail.ablation.grids import Grid
from srlongtail.ablation.work_queue import train_runs
from srlongtail.image.dataset import ImageSet
from srlongtail.metrics import PAPER
from srlongtail.models.checkpoint import load_model
from srlongtail.models.complexity import count_parameters
from srlongtail.provenance import provenance
from srlongtail.results import write_record, write_table
from srlongtail.training.images import choose_images, describe, find_images
from srlongtail.training.learner import with_loss_code
from srlongtail.training.lock import locked
from srlongtail.training.patches import SharedBank
from srlongtail.training.recipe import Recipe
from srlongtail.training.runfolder import find_finished, folder_name
from srlongtail.training.validation import Validation, validation_set

SETTINGS = ("skip", "static", "learnable", "alpha_sp", "gamma_sp", "alpha_lp", "gamma_lp")


def run_grid(
    grid: Grid,
    out: str | os.PathLike[str],
    data: Iterable[str],
    *,
    tests: Sequence[ImageSet] | None = None,
    reuse: str | os.PathLike[str] | None = None,
    device: str | None = None,
    deadline: float = math.inf,
    bank: SharedBank | None = None,
    wait: bool = True,
    tell: Callable[[str], object] | None = None,
    allow_code: bool = False,
) -> pd.DataFrame:
    """Train all runs of a grid that are not done, and measure every network.

    Writes `NAME.csv`, one row for each finished run and test set, and its provenance,
    `NAME.json`, after every run; runs lie beside them. An interrupted grid goes on where it
    stopped. Several processes may work on one grid: a run that another is busy with comes last.

    Args:
        grid: What to run.
        out: Folder for the runs and results.
        data: Folders of training images.
        tests: Data sets to measure on; the built-in photos, with LR as in the grid's recipe,
            unless given.
        reuse: Folder, searched to any depth, whose finished runs of the same recipes and images
            are not repeated; `out` unless given.
        device, deadline, tell, allow_code: See `train`.
        bank: The training images, where several grids share them.
        wait: For runs that other processes are busy with, once nothing else is left.

    Returns:
        Columns `arm, seed, iterations, parameters`, `SETTINGS`, `precision, dataset, psnr_db, ssim,
        head_ad_levels, tail_ad_levels` (see `Fit`).

    Raises:
        InUseError: Other processes are busy with all that is left, and `wait` is off.
        InputError, StoppedError: See `train`.
    """
    out, data = Path(out), tuple(data)
    found = find_images(data)

    def source(recipe: Recipe) -> dict[str, Any]:
        return describe(choose_images(found, recipe.half, recipe.images, recipe.hold_out))

    def find(recipe: Recipe) -> Path | None:
        recipe = with_loss_code(recipe, allow_code=allow_code)
        return find_finished(recipe, source(recipe), reuse or out)

    table = _Table(grid, out, tests, find)

    def folder(recipe: Recipe) -> Path:
        coded = with_loss_code(recipe, allow_code=allow_code)
        return table.find(recipe) or out / folder_name(coded, source(coded))

    train_runs(
        [recipe for _, recipe in grid.runs()],
        out,
        data,
        base=grid.recipe,
        folder=folder,
        is_done=lambda recipe: table.find(recipe) is not None,
        finish=lambda _: table.write(),
        device=device,
        deadline=deadline,
        bank=bank,
        wait=wait,
        tell=tell,
        allow_code=allow_code,
    )
    rows = table.write()
    if rows["precision"].nunique() > 1 and tell is not None:
        tell(f"{grid.name}: runs of several precisions, see the column of that name")
    return rows


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return means over the seeds for each data set, one row per arm in the grid's order.

    Args:
        table: As `run_grid` returns it.

    Returns:
        Columns `dataset, arm, seeds, psnr_db, psnr_sd_db, ssim, head_ad_levels, tail_ad_levels`;
        the standard deviation is NaN where there is one seed.
    """
    ordered = table.sort_values("dataset", kind="stable")
    groups = ordered.groupby(["dataset", "arm"], sort=False)
    means = groups[["psnr_db", "ssim", "head_ad_levels", "tail_ad_levels"]].mean()
    means.insert(0, "seeds", groups.size())
    means.insert(2, "psnr_sd_db", groups["psnr_db"].std())
    return means.reset_index()


class _Table:
    """Measures the finished runs of a grid, each once.

    Args:
        grid, out, tests: See `run_grid`.
        find: The folder of a recipe's finished run, if there is one.
    """

    def __init__(
        self,
        grid: Grid,
        out: Path,
        tests: Sequence[ImageSet] | None,
        find: Callable[[Recipe], Path | None],
    ) -> None:
        self._grid = grid
        self._out = out
        self._tests = [validation_set("", grid.recipe)] if tests is None else tests
        self._find = find
        self._found: dict[str, Path] = {}
        self._measured: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {}

    def find(self, recipe: Recipe) -> Path | None:
        """Return the folder of a run if it is finished."""
        run = self._found.get(recipe.name) or self._find(recipe)
        if run is not None:
            self._found[recipe.name] = run
        return run

    def write(self) -> pd.DataFrame:
        """Write the rows of all runs that are finished by now, whoever trained them."""
        grid = self._grid
        record = provenance([], self._tests, grid=grid.name, recipe=grid.recipe.without_paths())
        rows: list[dict[str, Any]] = []
        # Whoever writes last has looked last, so that a table never loses rows.
        with locked(self._out, wait=True):
            for arm, recipe in grid.runs():
                run = self.find(recipe)
                if run is not None:
                    fits, record["training"] = self._measure(recipe, run)
                    rows += ({"arm": arm, **fit} for fit in fits)
            table = pd.DataFrame(rows)
            write_table(self._out / f"{grid.name}.csv", table)
            record["settings"]["seeds"] = sorted({row["seed"] for row in rows})
            write_record(self._out / f"{grid.name}.json", {**record, "protocol": PAPER.name})
        return table

    def _measure(self, recipe: Recipe, run: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Return a row for each test set, and how the network was trained."""
        if recipe.name not in self._measured:
            model = load_model(run / "checkpoint.safetensors")
            settings = {key: getattr(recipe, key) for key in ("seed", "iterations")}
            settings["parameters"] = count_parameters(model)
            settings |= {key: getattr(recipe, key) for key in SETTINGS}
            known = model.provenance.training
            assert known is not None, "a run's checkpoint tells how it was trained"
            settings["precision"] = known.precision
            rows = [
                {**settings, "dataset": v.name, **v.measure(model).as_dict()}
                for v in self._validations
            ]
            training = {"data": dict(known.data)}
            training |= {key: known.run[key] for key in ("device", "versions")}
            self._measured[recipe.name] = rows, training
        return self._measured[recipe.name]

    @cached_property
    def _validations(self) -> list[Validation]:
        return [Validation(test.name, test) for test in self._tests]
