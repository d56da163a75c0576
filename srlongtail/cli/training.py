"""The commands `train`, `ablate` and `zoo`; each imports torch only when it runs."""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import tyro
from tyro.conf import Positional

from srlongtail.cli.messages import note, tell
from srlongtail.cli.options import Repeatable, flatten
from srlongtail.cli.plain import plain_help
from srlongtail.errors import InputError
from srlongtail.models.fast.process import prepare_process
from srlongtail.training.recipe import RECIPES, Recipe, find_recipe, read_recipe

if TYPE_CHECKING:
    from srlongtail.ablation.losses import LossGrid
    from srlongtail.image.dataset import ImageSet


_OPTIONS = {"network": "architecture"}  # another command uses the option for a file


def _changes() -> type:
    """Return a dataclass with every setting of a recipe as an option whose default is None."""
    hints = get_type_hints(Recipe) | {"arguments": dict[str, int]}
    options = [
        (_OPTIONS.get(f.name, f.name), hints[f.name] | None, None)
        for f in fields(Recipe)
        if f.name not in ("data", "loss_code")
    ]
    changes = make_dataclass("RecipeChanges", options, frozen=True)
    help_text = str(Recipe.__doc__)  # its attributes are the options
    for setting, option in _OPTIONS.items():
        help_text = help_text.replace(f"        {setting}:", f"        {option}:")
    changes.__doc__ = help_text
    return plain_help(changes)


RecipeChanges = _changes()
UNCHANGED = RecipeChanges()
Changes = Annotated[Any, tyro.conf.arg(name="", constructor=RecipeChanges)]
ShowList = Annotated[
    bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(name="list", help_behavior_hint="")
]
GridName = Annotated[Positional[str], tyro.conf.arg(metavar="GRID")]
RecipeName = Annotated[Positional[str], tyro.conf.arg(metavar="RECIPE", help_behavior_hint="")]


def train(
    recipe: RecipeName = "",
    /,
    *,
    data: Repeatable = (),
    out: Path | None = None,
    resume: bool = False,
    force: bool = False,
    device: str | None = None,
    allow_code: bool = False,
    show_list: ShowList = False,
    changes: Changes = UNCHANGED,
) -> None:
    """Train a network with a recipe; run under torchrun to use several GPUs.

    Args:
        recipe: name of a recipe, or a TOML file; default with --resume: the run's own recipe.
        data: folders of training images, searched to any depth.
        out: run folder; default: runs/NAME.
        resume: continue the run in the folder.
        force: continue even if the recipe or the images have changed.
        device: device to compute on, such as cuda:1; default: CUDA if available, else the CPU.
        allow_code: import and call the loss that a recipe's file names, even from the current
            folder; a loss named by --loss needs no consent.
        show_list: list the recipes and exit.
    """
    if show_list:
        for name, known in RECIPES.items():
            print(f"{name:24}{known.iterations:>9} iterations, rate {known.learning_rate:g}")
        return
    chosen = find_recipe(recipe) if recipe else _own_recipe(out if resume else None)
    settings = {option: setting for setting, option in _OPTIONS.items()}
    given = {settings.get(k, k): v for k, v in vars(changes).items() if v is not None}
    chosen = chosen.changed(given)
    if data:
        chosen = replace(chosen, data=flatten(data))
    if not chosen.data:
        raise InputError("no training images, expected folders of them: --data DIR...")
    out = out or Path("runs") / chosen.name

    prepare_process()
    from srlongtail import parallel
    from srlongtail.training import loop

    chosen = _anywhere(chosen)
    with parallel.process_group(), _stopping(f"srlongtail train --resume --out {out} goes on"):
        loop.train(
            chosen,
            out,
            resume=resume,
            force=force,
            device=device,
            tell=tell,
            allow_code=allow_code or "loss" in given,
        )
        if parallel.is_writer():
            print(out / "checkpoint.safetensors")
            note(f"next: srlongtail analyze {out} --data DIR")


def ablate(
    grid: GridName,
    /,
    *,
    data: Repeatable,
    out: Path | None = None,
    vary: Repeatable = (),
    loss: Repeatable = (),
    recipe: str | None = None,
    seeds: tuple[int, ...] | None = None,
    iterations: int | None = None,
    test: Repeatable = (),
    device: str | None = None,
) -> None:
    """Train a grid of recipes with several seeds, and tabulate the results.

    Finished runs are not repeated; interrupted runs are resumed.

    Args:
        grid: losses, capacity, seed-spread, skip-static-learnable, focal-parameters; or a recipe,
            with --vary.
        data: folders of training images, searched to any depth.
        out: folder for runs and results; default: runs/NAME.
        vary: KEY=VALUE,VALUE,... for each setting of the recipe to vary.
        loss: with the grid losses: losses to compare with L1, by name or as module:callable;
            default: all losses of the package.
        recipe: recipe that the grid changes, or a TOML file; default: the grid's own.
        seeds: seeds of each arm; default: those of the grid.
        iterations: iterations of each run; default: those of the grid, 4000 with --vary.
        test: data folders to measure on, or NAME=FOLDER; default: the built-in photos.
        device: device to compute on, such as cuda:1; default: CUDA if available, else the CPU.
    """
    prepare_process()
    from srlongtail.ablation.grids import custom_grid, find_grid
    from srlongtail.ablation.losses import NAME, loss_grid
    from srlongtail.ablation.run import run_grid, summary

    if grid == NAME:
        if vary:
            raise InputError("--vary with the grid losses, expected --loss")
        bench = loss_grid(
            recipe or "fsrcnn-skip-x4", flatten(loss), seeds=seeds, iterations=iterations or 4000
        )
        _compare_losses(bench, out or Path("runs") / NAME, data, test, device)
        return
    if loss:
        raise InputError(f"--loss with {grid}, expected the grid losses")
    if vary and recipe is not None:
        raise InputError(f"--recipe {recipe}: a second recipe beside {grid}, expected one")
    chosen = custom_grid(grid, flatten(vary)) if vary else find_grid(grid, [NAME])
    if recipe is not None:
        chosen = replace(chosen, base=recipe)
    if seeds is not None:
        chosen = replace(chosen, seeds=seeds)
    if iterations is not None:
        chosen = replace(chosen, iterations=iterations)
    out = out or Path("runs") / chosen.name
    images, tests = _absolute(flatten(data)), _open(test, chosen.recipe)
    with _stopping("the same command goes on"):
        table = run_grid(
            chosen,
            out,
            images,
            tests=tests,
            device=device,
            tell=tell,
            allow_code=any(choice.startswith("loss=") for choice in flatten(vary)),
        )
    print(summary(table).round(4).to_string(index=False))
    print(out / f"{chosen.name}.csv")


def _compare_losses(
    bench: "LossGrid", out: Path, data: Repeatable, test: Repeatable, device: str | None
) -> None:
    """Run a bench of losses, and say which of them differ from L1."""
    from srlongtail.ablation.losses import run_losses
    from srlongtail.cli.losses import show_losses
    from srlongtail.studies.losses import load_bench

    images, tests = _absolute(flatten(data)), _open(test, bench.base)
    with _stopping("the same command goes on"):
        # Losses are named by the user on the command line, never by a file.
        run_losses(bench, out, images, tests=tests or (), device=device, tell=tell, allow_code=True)
    show_losses(load_bench(out / f"{bench.name}.csv"), out)


def zoo(
    action: Positional[Literal["list", "build"]],
    /,
    *,
    data: Repeatable = (),
    out: Path | None = None,
    only: Repeatable = (),
    time_limit: float = math.inf,
    test: Repeatable = (),
    install: Path | None = None,
    device: str | None = None,
) -> None:
    """List the shipped networks, or train the missing ones.

    Args:
        action: list the networks, or build the missing ones.
        data: folders of training images, searched to any depth.
        out: folder for the runs; default: runs/zoo.
        only: names of entries; default: all.
        time_limit: hours after which the build stops; the same command resumes it.
        test: data folders to measure ablations on; default: the built-in photos.
        install: folder to copy the networks and tables to; default: the package in a source
            checkout, else --out. Networks are found by name in the package and in runs/zoo.
        device: device to compute on, such as cuda:1; default: CUDA if available, else the CPU.
    """
    prepare_process()
    from srlongtail.ablation import zoo as networks
    from srlongtail.models.find import BUILT

    out = out or BUILT
    if action == "build":
        with _stopping("the same command goes on"):
            networks.build_zoo(
                _absolute(flatten(data)),
                out,
                only=flatten(only),
                tests=_open(test, Recipe()),
                install=install or networks.checkout() or out,
                device=device,
                deadline=time.monotonic() + 3600 * time_limit,
                tell=tell,
            )
    table = networks.list_zoo(*([install] if install else [networks.SHIPPED, out]))
    rounded = table.round({"psnr_db": 2, "bicubic_psnr_db": 2, "ssim": 4})
    print(rounded.astype(object).fillna("").to_string(index=False))


def _own_recipe(run: Path | None) -> Recipe:
    """Return the recipe of the run to resume."""
    if run is None:
        raise InputError(
            "no recipe named, expected one that srlongtail train --list shows, or a TOML file"
        )
    if not (run / "recipe.toml").is_file():
        raise InputError(f"{run}: holds no run to resume, expected a run's folder, or a recipe")
    return read_recipe(run / "recipe.toml")


def _anywhere(recipe: Recipe) -> Recipe:
    """Return the recipe with absolute paths, so that the run can be resumed from any folder."""
    from srlongtail.image.dataset import named_path

    recipe = replace(recipe, data=_absolute(recipe.data))
    name, location = named_path(recipe.validation)
    hr, comma, lr = str(location).rpartition(",")
    roots = [Path(hr), Path(lr)] if comma and not location.exists() else [location]
    if not recipe.validation or not all(root.exists() for root in roots):
        return recipe
    found = ",".join(str(root.resolve()) for root in roots)
    return replace(recipe, validation=f"{name}={found}" if name else found)


def _absolute(folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(Path(folder).resolve()) for folder in folders)


def _open(folders: tuple[tuple[str, ...], ...], recipe: Recipe) -> "list[ImageSet] | None":
    from srlongtail.training.validation import validation_set

    return [validation_set(folder, recipe) for folder in flatten(folders)] or None


@contextmanager
def _stopping(hint: str) -> Iterator[None]:
    """End the command when a run was stopped, with a line that says how to resume it."""
    from srlongtail.parallel import is_writer
    from srlongtail.training.interruption import StoppedError

    try:
        yield
    except StoppedError as stop:
        if is_writer():
            print(f"srlongtail: {stop}; {hint}", file=sys.stderr)
        sys.exit(stop.code)
