"""Ablations: a grid of recipes, each with several seeds, and what came of them as one table."""

import itertools
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from srlongtail.errors import InputError
from srlongtail.image.dataset import ImageSet, photos
from srlongtail.metrics import PAPER
from srlongtail.models.checkpoint import load_model
from srlongtail.provenance import provenance
from srlongtail.results import write_record, write_table
from srlongtail.training.images import describe, find_images
from srlongtail.training.loop import train
from srlongtail.training.patches import SharedBank
from srlongtail.training.recipe import Recipe, find_recipe, suggestion
from srlongtail.training.runfolder import find_finished
from srlongtail.training.validation import Validation

SETTINGS = ("skip", "static", "learnable", "alpha_sp", "gamma_sp", "alpha_lp", "gamma_lp")


@dataclass(frozen=True)
class Grid:
    """Arms that change a base recipe, and the seeds that each arm is run with.

    Attributes:
        name: of the table of results.
        base: name of a recipe.
        arms: name of an arm -> the settings it changes; no two arms may be the same run.
        iterations: of every run.
        seeds: of every arm.
        ships: whether its table belongs to the package.
    """

    name: str
    base: str
    arms: Mapping[str, Mapping[str, Any]]
    iterations: int
    seeds: tuple[int, ...]
    ships: bool = True

    def runs(self) -> Iterator[tuple[str, Recipe]]:
        """Every arm with every seed; the seed changes last, so that early results compare arms."""
        base = replace(find_recipe(self.base), iterations=self.iterations)
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
    arms: dict[str, dict[str, Any]] = {"fpl": {}}
    for (dial, choices), prior in itertools.product(values.items(), ("sp", "lp")):
        key = f"{dial}_{prior}"
        arms |= {f"{key}={v:g}": {key: v} for v in choices if v != getattr(fpl, key)}
    arms["skip"] = {"static": False, "learnable": False}
    arms["baseline"] = {"skip": False, **arms["skip"]}
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
        InputError: an unknown recipe, or a choice that is not of this form.

    >>> list(custom_grid("fsrcnn-fpl-x4", ["gamma_sp=0,2"]).arms)
    ['gamma_sp=0', 'gamma_sp=2']
    """
    parsed: dict[str, list[Any]] = {}
    for choice in choices:
        key, _, values = choice.partition("=")
        if not key or not values:
            raise InputError(f"--vary {choice}: expected KEY=VALUE,VALUE,...")
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
    tell: Callable[[str], object] | None = None,
) -> pd.DataFrame:
    """Train all runs of a grid that are not done, and measure every network.

    Writes `NAME.csv`, one row for each run and test set, and its provenance, `NAME.json`, after
    every run; runs lie beside them. An interrupted grid goes on where it stopped.

    Args:
        grid: what to run.
        out: folder for the runs and results.
        data: folders of training images.
        tests: data sets to measure on; the built-in photos unless given.
        reuse: folder, searched to any depth, whose finished runs of the same recipes and images
            are not repeated; `out` unless given.
        device, deadline, tell: see `train`.
        bank: the training images, where several grids share them.

    Returns:
        Columns `arm, seed, iterations`, `SETTINGS`, `dataset, psnr_db, ssim, head_ad_levels,
        tail_ad_levels` (see `Fit`).
    """
    out, data = Path(out), tuple(data)
    scale = find_recipe(grid.base).scale
    tests = [photos(scale)] if tests is None else tests
    validations = [Validation(test.name, test) for test in tests]
    source = describe(find_images(data))
    record = provenance(
        [], tests, grid=grid.name, iterations=grid.iterations, seeds=list(grid.seeds)
    )
    bank = bank or SharedBank()
    rows: list[dict[str, Any]] = []
    for arm, recipe in grid.runs():
        recipe = replace(recipe, data=data)
        run = find_finished(recipe, source, reuse or out)
        if run is None:
            run = out / recipe.name
            train(
                recipe,
                run,
                resume=True,
                device=device,
                bank=bank.of(recipe, device),
                deadline=deadline,
                tell=tell,
            )
        model = load_model(run / "checkpoint.safetensors")
        settings = {key: getattr(recipe, key) for key in ("seed", "iterations", *SETTINGS)}
        for validation in validations:
            fit = validation.measure(model).as_dict()
            rows.append({"arm": arm, **settings, "dataset": validation.name, **fit})
        record["training"] = {key: model.provenance[key] for key in ("data", "device", "versions")}
        write_table(out / f"{grid.name}.csv", pd.DataFrame(rows))
        write_record(out / f"{grid.name}.json", {**record, "protocol": PAPER.name})
    return pd.DataFrame(rows)
