"""Ablations: a grid of recipes, each with several seeds, and what came of them as one table."""

import itertools
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from srlongtail.errors import InputError, suggestion
from srlongtail.image.dataset import ImageSet
from srlongtail.metrics import PAPER
from srlongtail.models.checkpoint import load_model
from srlongtail.provenance import provenance
from srlongtail.results import write_record, write_table
from srlongtail.training.images import describe, find_images
from srlongtail.training.loop import train
from srlongtail.training.patches import SharedBank
from srlongtail.training.recipe import HARMLESS, Recipe, find_recipe
from srlongtail.training.runfolder import find_finished, folder_name
from srlongtail.training.turns import in_turns, locked
from srlongtail.training.validation import Validation, validation_set

SETTINGS = ("skip", "static", "learnable", "alpha_sp", "gamma_sp", "alpha_lp", "gamma_lp")


_OTHER_TASK = "a recipe of that task as the grid's base"
_NO_ARMS = {
    **dict.fromkeys(HARMLESS, "a setting that the weights depend on"),
    "seed": "--seeds",
    "scale": _OTHER_TASK,
    "degradation": _OTHER_TASK,
}
"""What is not to be varied -> what is expected instead."""


@dataclass(frozen=True)
class Grid:
    """Arms that change a base recipe, and the seeds that each arm is run with.

    Attributes:
        name: of the table of results.
        base: name of a recipe.
        arms: name of an arm -> the settings it changes; no two arms may be the same run.
        iterations: of every run.
        seeds: of every arm.
    """

    name: str
    base: str
    arms: Mapping[str, Mapping[str, Any]]
    iterations: int
    seeds: tuple[int, ...]

    @property
    def recipe(self) -> Recipe:
        """What the arms change."""
        return replace(find_recipe(self.base), iterations=self.iterations)

    def runs(self) -> Iterator[tuple[str, Recipe]]:
        """Every arm with every seed; the seed changes last, so that early results compare arms."""
        base = self.recipe
        for seed, (arm, changes) in itertools.product(self.seeds, self.arms.items()):
            recipe = base.changed(changes, f"{self.name}, arm {arm}")
            yield arm, replace(recipe, seed=seed, name=f"{arm}-seed{seed}")


def vary(choices: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """The arms of all combinations of settings.

    >>> list(vary({"skip": [False, True], "scope": ["image"]}))
    ['skip=false scope=image', 'skip=true scope=image']
    """
    combinations = (
        dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())
    )
    return {" ".join(f"{k}={_text(v)}" for k, v in c.items()): c for c in combinations}


def _switches() -> dict[str, dict[str, bool]]:
    """All combinations of skip, static and learnable, named by what is on."""
    parts = ("skip", "static", "learnable")
    return {
        "-".join(itertools.compress(parts, on)) or "baseline": dict(zip(parts, on, strict=True))
        for on in itertools.product((False, True), repeat=len(parts))
    }


def _focal_parameters() -> dict[str, dict[str, Any]]:
    """FPL, one of its parameters changed at a time; the skip alone; and the baseline."""
    fpl = find_recipe("fsrcnn-fpl-x4")
    values = {"gamma": (0.0, 1.0, 2.0), "alpha": (0.1, 0.5, 1.0, 2.0)}
    # What all others are compared with comes first, so that early results can be drawn.
    skip = {"static": False, "learnable": False}
    arms: dict[str, dict[str, Any]] = {"baseline": {"skip": False, **skip}, "skip": skip, "fpl": {}}
    for (dial, choices), prior in itertools.product(values.items(), ("sp", "lp")):
        key = f"{dial}_{prior}"
        arms |= {f"{key}={v:g}": {key: v} for v in choices if v != getattr(fpl, key)}
    return arms


GRIDS = {
    grid.name: grid
    for grid in (
        Grid(
            "seed-spread",
            "fsrcnn-x4",
            {"baseline": {}, "fpl": {"skip": True, "static": True, "learnable": True}},
            iterations=8000,
            seeds=(0, 1, 2),
        ),
        Grid("skip-static-learnable", "fsrcnn-x4", _switches(), iterations=4000, seeds=(0, 1, 2)),
        Grid("focal-parameters", "fsrcnn-fpl-x4", _focal_parameters(), 4000, seeds=(0, 1)),
    )
}
"""The grids by name: the seeds' spread, what each part of FPL does, and the paper's dials."""


def find_grid(name: str) -> Grid:
    """A grid by its name.

    Raises:
        InputError: there is no such grid.
    """
    if name not in GRIDS:
        known = ", ".join(GRIDS)
        raise InputError(f"unknown grid {name!r}{suggestion(name, GRIDS)}, expected one of {known}")
    return GRIDS[name]


def custom_grid(base: str, choices: Iterable[str], iterations: int = 4000) -> Grid:
    """A grid over all combinations of `KEY=VALUE,VALUE,...`.

    Raises:
        InputError: an unknown recipe, a choice that is not of this form, or of a setting that
            makes no arms to compare.

    >>> list(custom_grid("fsrcnn-fpl-x4", ["gamma_sp=0,2"]).arms)
    ['gamma_sp=0', 'gamma_sp=2']
    """
    parsed: dict[str, list[Any]] = {}
    for choice in choices:
        key, _, values = choice.partition("=")
        if not key or not values:
            raise InputError(f"--vary {choice}: expected KEY=VALUE,VALUE,...")
        if key in _NO_ARMS:
            raise InputError(f"--vary {key}: makes no arms to compare, expected {_NO_ARMS[key]}")
        parsed[key] = [_value(text) for text in values.split(",")]
    return Grid(find_recipe(base).name, base, vary(parsed), iterations, seeds=(0,))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except ValueError:
        return text


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
) -> pd.DataFrame:
    """Train all runs of a grid that are not done, and measure every network.

    Writes `NAME.csv`, one row for each finished run and test set, and its provenance,
    `NAME.json`, after every run; runs lie beside them. An interrupted grid goes on where it
    stopped. Several processes may work on one grid: a run that another is busy with comes last.

    Args:
        grid: what to run.
        out: folder for the runs and results.
        data: folders of training images.
        tests: data sets to measure on; the built-in photos, with LR as in the grid's recipe,
            unless given.
        reuse: folder, searched to any depth, whose finished runs of the same recipes and images
            are not repeated; `out` unless given.
        device, deadline, tell: see `train`.
        bank: the training images, where several grids share them.
        wait: for runs that other processes are busy with, once nothing else is left.

    Returns:
        Columns `arm, seed, iterations`, `SETTINGS`, `dataset, psnr_db, ssim, head_ad_levels,
        tail_ad_levels` (see `Fit`).

    Raises:
        InUseError: other processes are busy with all that is left, and `wait` is off.
        InputError, StoppedError: see `train`.
    """
    out, data = Path(out), tuple(data)
    source = describe(find_images(data))
    bank = bank or SharedBank()
    table = _Table(grid, out, tests, lambda recipe: find_finished(recipe, source, reuse or out))

    def make(recipe: Recipe) -> None:
        if table.find(recipe):
            return
        train(
            replace(recipe, data=data),
            out / folder_name(recipe, source),
            resume=True,
            device=device,
            find_bank=bank.of,
            deadline=deadline,
            tell=tell,
        )
        table.write()

    recipes = [recipe for _, recipe in grid.runs()]
    for _ in in_turns(recipes, make, wait=wait, deadline=deadline, tell=tell):
        pass
    return table.write()


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds, data set by data set, one row an arm in the grid's order.

    Args:
        table: as `run_grid` returns it.

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
        grid, out, tests: see `run_grid`.
        find: the folder of a recipe's finished run, if there is one.
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
        """The folder of a run, once it is finished."""
        run = self._found.get(recipe.name) or self._find(recipe)
        if run is not None:
            self._found[recipe.name] = run
        return run

    def write(self) -> pd.DataFrame:
        """Write the rows of all runs that are finished by now, whoever trained them."""
        grid = self._grid
        record = provenance([], self._tests, grid=grid.name, recipe=grid.recipe.published())
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
        """A row for each test set, and how the network was trained."""
        if recipe.name not in self._measured:
            model = load_model(run / "checkpoint.safetensors")
            settings = {key: getattr(recipe, key) for key in ("seed", "iterations", *SETTINGS)}
            rows = [
                {**settings, "dataset": v.name, **v.measure(model).as_dict()}
                for v in self._validations
            ]
            training = {key: model.provenance[key] for key in ("data", "device", "versions")}
            self._measured[recipe.name] = rows, training
        return self._measured[recipe.name]

    @cached_property
    def _validations(self) -> list[Validation]:
        return [Validation(test.name, test) for test in self._tests]
