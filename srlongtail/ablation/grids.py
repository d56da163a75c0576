"""Grids: arms that change a recipe, each with several seeds."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from srlongtail.errors import InputError, suggestion
from srlongtail.training.recipe import HARMLESS, Recipe, find_recipe

_OTHER_TASK = "a recipe of that task as the grid's base"
_NO_ARMS = {
    **dict.fromkeys(HARMLESS, "a setting that the weights depend on"),
    "seed": "the seeds of the grid",
    "scale": _OTHER_TASK,
    "degradation": _OTHER_TASK,
}
"""What is not to be varied -> what is expected instead."""


@dataclass(frozen=True)
class Grid:
    """Arms that change a base recipe, and the seeds that each arm is run with.

    Attributes:
        name: Of the table of results.
        base: Name of a recipe.
        arms: Name of an arm -> the settings it changes; no two arms may be the same run.
        iterations: Of every run.
        seeds: Of every arm.
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
        """Yield every arm with every seed, seed by seed, so that early results compare arms."""
        base = self.recipe
        for seed, (arm, changes) in itertools.product(self.seeds, self.arms.items()):
            recipe = base.changed(changes, f"{self.name}, arm {arm}")
            yield arm, replace(recipe, seed=seed, name=f"{arm}-seed{seed}")


def vary(choices: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """Return the arms of all combinations of settings.

    >>> list(vary({"skip": [False, True], "scope": ["image"]}))
    ['skip=false scope=image', 'skip=true scope=image']
    """
    combinations = (
        dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())
    )
    return {" ".join(f"{k}={_text(v)}" for k, v in c.items()): c for c in combinations}


def _switches() -> dict[str, dict[str, bool]]:
    """Return all combinations of skip, static and learnable, named by the parts that are on."""
    parts = ("skip", "static", "learnable")
    return {
        "-".join(itertools.compress(parts, on)) or "baseline": dict(zip(parts, on, strict=True))
        for on in itertools.product((False, True), repeat=len(parts))
    }


def _focal_parameters() -> dict[str, dict[str, Any]]:
    """Return FPL with one parameter changed at a time, the skip alone, and the baseline."""
    fpl = find_recipe("fsrcnn-fpl-x4")
    values = {"gamma": (0.0, 1.0, 2.0), "alpha": (0.1, 0.5, 1.0, 2.0)}
    # What all others are compared with comes first, so that early results can be drawn.
    skip = {"static": False, "learnable": False}
    arms: dict[str, dict[str, Any]] = {"baseline": {"skip": False, **skip}, "skip": skip, "fpl": {}}
    for (dial, choices), prior in itertools.product(values.items(), ("sp", "lp")):
        key = f"{dial}_{prior}"
        arms |= {f"{key}={v:g}": {key: v} for v in choices if v != getattr(fpl, key)}
    return arms


def _capacities() -> dict[str, dict[str, Any]]:
    """Return FSRCNN in four sizes, 4,243 to 97,019 parameters, with the skip alone and with FPL."""
    sizes = {"4k": (12, 4, 2), "11k": (26, 8, 3), "25k": (56, 12, 4), "97k": (128, 36, 4)}
    parts = {"skip": {"skip": True}, "fpl": {"skip": True, "static": True, "learnable": True}}
    return {
        f"{size}-{arm}": {
            "arguments": dict(zip(("features", "shrunk", "mappings"), numbers, strict=True)),
            **switches,
        }
        for (size, numbers), (arm, switches) in itertools.product(sizes.items(), parts.items())
    }


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
        Grid("capacity", "fsrcnn-x4", _capacities(), iterations=4000, seeds=(0, 1, 2)),
    )
}
"""The grids by name: the seeds' spread, what each part of FPL does, the paper's dials, and whether
the gain of FPL depends on the size of the network."""


def find_grid(name: str, besides: Iterable[str] = ()) -> Grid:
    """Return a grid by name.

    Args:
        name: A key of `GRIDS`.
        besides: Other names that the caller knows; the error lists them, too.

    Raises:
        InputError: There is no such grid.

    Example:
        >>> find_grid("capacity").iterations
        4000
    """
    if name not in GRIDS:
        known = [*besides, *GRIDS]
        raise InputError(
            f"unknown grid {name!r}{suggestion(name, known)}, expected one of {', '.join(known)}"
        )
    return GRIDS[name]


def custom_grid(base: str, choices: Iterable[str], iterations: int = 4000) -> Grid:
    """Return a grid over all combinations of `KEY=VALUE,VALUE,...`.

    Raises:
        InputError: An unknown recipe, a choice that is not of this form, or of a setting that
            makes no arms to compare.

    Example:
        >>> list(custom_grid("fsrcnn-fpl-x4", ["gamma_sp=0,2"]).arms)
        ['gamma_sp=0', 'gamma_sp=2']
    """
    parsed: dict[str, list[Any]] = {}
    for choice in choices:
        key, _, values = choice.partition("=")
        if not key or not values:
            raise InputError(f"vary {choice}: expected KEY=VALUE,VALUE,...")
        if key in _NO_ARMS:
            raise InputError(f"vary {key}: makes no arms to compare, expected {_NO_ARMS[key]}")
        parsed[key] = [_value(text) for text in values.split(",")]
    return Grid(find_recipe(base).name, base, vary(parsed), iterations, seeds=(0,))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except ValueError:
        return text
