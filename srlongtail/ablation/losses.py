"""A bench for losses: the same initial weights and patches for all losses of a seed.

Every network predicts the residual over bicubic, so that the gain of the skip is not taken for that
of a loss, and none sees the images of `HELD_OUT`, on which the losses are compared. Controls run
along: L1 from initial weights that differ by rounding errors shows what chance does.
"""

import hashlib
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import torch
from torch import Tensor, nn

from srlongtail.ablation.joining import seeds_by_loss
from srlongtail.ablation.timing import step_time_ratio
from srlongtail.ablation.verdicts import CONTROL, PERTURBED
from srlongtail.ablation.work_queue import train_runs
from srlongtail.image.dataset import ImagePair, ImageSet, open_files, photos
from srlongtail.image.degrade import named_degradation
from srlongtail.image.resample import upsample_bicubic
from srlongtail.longtail.bands import Measure, means_by_tenth
from srlongtail.longtail.difference import absolute_difference
from srlongtail.longtail.gradients import gradient_shares
from srlongtail.longtail.tail import TENTHS, Ranking, difficulty, tenth_of_pixels
from srlongtail.losses.catalog import LOSSES, LossCall, takes_step
from srlongtail.metrics import PAPER, mean_psnr
from srlongtail.models.checkpoint import load_model
from srlongtail.models.sr_model import SRModel
from srlongtail.provenance import provenance
from srlongtail.results import write_record, write_table
from srlongtail.training.images import (
    TrainingImage,
    choose_images,
    describe,
    find_images,
    held_out,
)
from srlongtail.training.learner import Learner, recipe_loss, with_loss_code
from srlongtail.training.lock import locked
from srlongtail.training.patches import PatchBank, SharedBank
from srlongtail.training.precision import precision_of
from srlongtail.training.recipe import Recipe, find_recipe
from srlongtail.training.runfolder import folder_name

NAME = "losses"
HELD_OUT_NAME = "held-out"
COLUMNS = (
    "loss", "seed", "iterations", "dataset", "ranked_by", "tenth", "ad_levels", "squared_error",
    "psnr_db", "ssim",
)  # fmt: skip
GRADIENT_COLUMNS = (
    "loss", "seed", "iterations", "time_ratio", "ranked_by", "tenth", "share_at_start",
    "share_at_end",
)  # fmt: skip

_PERTURBATION = 1e-6
_CORE = (CONTROL, PERTURBED, "fpl", "static", "fpl-shuffled", "sobel")
_SAMPLE = 16  # patches whose gradients are measured, a batch as in training


@dataclass(frozen=True)
class LossRun:
    """A training run, and what tables call its loss: a name of the catalog, or `l1-perturbed`."""

    loss: str
    recipe: Recipe


@dataclass(frozen=True)
class Stage:
    """Losses that are run seed by seed.

    Attributes:
        losses: What tables call them.
        seeds: Of each.
        length: Of the runs, in multiples of the grid's iterations.
    """

    losses: tuple[str, ...]
    seeds: tuple[int, ...]
    length: float = 1.0


@dataclass(frozen=True)
class LossGrid:
    """Runs of a base recipe with several losses.

    Attributes:
        base: What all runs have in common.
        stages: In order of value, so that a table of the first runs says something already.
        name: Of the table of results.
    """

    base: Recipe
    stages: tuple[Stage, ...]
    name: str = NAME

    @property
    def iterations(self) -> int:
        """The iterations of the runs that are compared."""
        return self.base.iterations

    def runs(self) -> Iterator[LossRun]:
        """Yield all runs in order, each once."""
        seen = set()
        for stage in self.stages:
            iterations = round(stage.length * self.iterations)
            for seed in stage.seeds:
                for loss in stage.losses:
                    if (loss, seed, iterations) not in seen:
                        seen.add((loss, seed, iterations))
                        yield self._run(loss, seed, iterations)

    def _run(self, loss: str, seed: int, iterations: int) -> LossRun:
        perturbed = {"loss": CONTROL, "perturbation": _PERTURBATION}
        recipe = self.base.changed(perturbed if loss == PERTURBED else {"loss": loss})
        name = f"{re.sub(r'[^A-Za-z0-9.-]+', '_', loss).strip('_')}-seed{seed}"
        if iterations != self.iterations:
            name += f"-{iterations}"
        return LossRun(
            loss,
            replace(recipe, name=name, seed=seed, iterations=iterations, validate_every=iterations),
        )


def loss_grid(
    base: str | Recipe = "fsrcnn-skip-x4",
    losses: Sequence[str] = (),
    *,
    seeds: Sequence[int] | None = None,
    iterations: int = 4000,
) -> LossGrid:
    """Return the bench for all losses of the catalog, or for chosen ones.

    For all losses: the most telling ones with ten seeds; L1 and perturbed L1 with twelve; the
    others with five; L1 for 1.5 times and twice as long; L1, FPL and the static prior for four
    times as long with three seeds.

    Args:
        base: A recipe, the name of one, or a TOML file; its loss does not matter, and it is run
            with the skip and without the images held out.
        losses: Names of the catalog, or `module:callable`, where the module `__main__` is the
            notebook or script that runs; besides them L1, perturbed L1, and L1
            for longer are run.
        seeds: Of every loss; default: see above, and five for chosen losses.
        iterations: Of a run.

    Raises:
        InputError: An unknown recipe or loss.

    Example:
        >>> grid = loss_grid(losses=["sobel"], seeds=[0])
        >>> [(run.loss, run.recipe.iterations) for run in grid.runs()]
        [('l1', 4000), ('l1-perturbed', 4000), ('sobel', 4000), ('l1', 6000), ('l1', 8000)]
    """
    recipe = base if isinstance(base, Recipe) else find_recipe(base)
    recipe = recipe.changed({"skip": True, "hold_out": True, "iterations": iterations})

    def given(count: int) -> tuple[int, ...]:
        return tuple(range(count)) if seeds is None else tuple(seeds)

    if losses:
        known = [(CONTROL, PERTURBED, *losses)]
    else:
        known = [_CORE, tuple(loss for loss in LOSSES if loss not in _CORE)]
    stages = [Stage(known[0], given(5 if losses else 10))]
    if not losses:
        stages += [Stage((CONTROL, PERTURBED), given(12)), Stage(known[1], given(5))]
    stages += [Stage((CONTROL,), given(5), 1.5), Stage((CONTROL,), given(5), 2.0)]
    if not losses:
        stages.append(Stage((CONTROL, "fpl", "static"), given(3), 4.0))
    grid = LossGrid(recipe, tuple(stages))
    for run in grid.runs():
        LossCall.parse(run.recipe.loss_name)  # raises an error for unknown names
    return grid


def run_losses(
    grid: LossGrid,
    out: str | os.PathLike[str],
    data: Iterable[str],
    *,
    tests: Sequence[ImageSet] = (),
    device: str | None = None,
    deadline: float = math.inf,
    bank: SharedBank | None = None,
    wait: bool = True,
    tell: Callable[[str], object] | None = None,
    allow_code: bool = False,
) -> pd.DataFrame:
    """Train all runs of a bench that are not done, and measure every network.

    Writes `losses.csv`, `losses-gradients.csv` and the record of both, `losses.json`, which says
    what is complete, after every run; runs lie beside them. An interrupted bench goes on where it
    stopped. Several processes may work on one bench: a run that another is busy with comes last.

    Args:
        grid: What to run.
        out: Folder for the runs and results.
        data: Folders of training images.
        tests: Data sets to measure on, besides the images held out and the built-in photos.
        device, deadline, tell, allow_code: See `train`.
        bank: The training images, where several grids share them.
        wait: For runs that other processes are busy with, once nothing else is left.

    Returns:
        Columns `COLUMNS`: one row for each run, data set, ranking of the pixels, and tenth of them.
        AD and its square are of luma, in levels of 255; PSNR and SSIM follow the paper's protocol.
        All are means over images, each of which counts alike.

    Raises:
        InUseError: Other processes are busy with all that is left, and `wait` is off.
        InputError, StoppedError: See `train`.
    """
    out, data = Path(out), tuple(data)
    found = find_images(data)
    sets = _test_sets(grid.base, held_out(found), tests)
    bench = _Bench(grid, out, found, _Tests(sets, grid.base), allow_code=allow_code)
    runs = {run.recipe.name: run for run in grid.runs()}

    def finish(recipe: Recipe) -> None:
        bench.measure(runs[recipe.name], device)
        bench.write()

    train_runs(
        [run.recipe for run in runs.values()],
        out,
        data,
        base=grid.base,
        folder=lambda recipe: bench.folder(runs[recipe.name]),
        is_done=lambda recipe: bench.is_measured(runs[recipe.name]),
        finish=finish,
        device=device,
        deadline=deadline,
        bank=bank,
        wait=wait,
        tell=tell,
        allow_code=allow_code,
    )
    return bench.write()


def _test_sets(
    base: Recipe, out: Sequence[TrainingImage], tests: Sequence[ImageSet]
) -> list[ImageSet]:
    rule = named_degradation(base.degradation, base.scale)
    sets = [photos(base.scale, rule)]
    if out:
        files = {image.path.stem: image.path for image in out}
        sets.insert(0, open_files(HELD_OUT_NAME, files, rule))
    names = [images.name for images in sets]
    return sets + [images for images in tests if images.name not in names]


class _Bench:
    """The runs of a grid below a folder: which are done, and what was measured.

    What was measured of a run lies in its folder, so that it is measured once, by whichever
    process. The files are named after the test images.
    """

    def __init__(
        self,
        grid: LossGrid,
        out: Path,
        found: Sequence[TrainingImage],
        tests: "_Tests",
        *,
        allow_code: bool,
    ) -> None:
        self._grid = grid
        self._out = out
        self._source = describe(choose_images(found, grid.base.half, grid.base.images, True))
        self._tests = tests
        self._allow_code = allow_code
        self._read: dict[Path, tuple[pd.DataFrame, pd.DataFrame]] = {}

    def folder(self, run: LossRun) -> Path:
        """Return where a run lies."""
        recipe = with_loss_code(run.recipe, allow_code=self._allow_code)
        return self._out / folder_name(recipe, self._source)

    def is_measured(self, run: LossRun) -> bool:
        """Return whether a run is done and measured on the test images."""
        return self._scores(self.folder(run)).is_file()

    def measure(self, run: LossRun, device: str | None) -> None:
        """Measure a run that is done."""
        folder = self.folder(run)
        model = load_model(folder / "checkpoint.safetensors", device=device or "cpu")
        keys = {"loss": run.loss, "seed": run.recipe.seed, "iterations": run.recipe.iterations}
        shares = self._tests.gradients(model, run.recipe, allow_code=self._allow_code)
        precision = precision_of(folder / "checkpoint.safetensors")
        settled = replace(run.recipe, precision=precision or run.recipe.precision)
        ratio = self._tests.time_ratio(settled, device, allow_code=self._allow_code)
        shares.insert(0, "time_ratio", ratio)
        write_table(self._gradients(folder), shares.assign(**keys)[list(GRADIENT_COLUMNS)])
        scores = self._tests.scores(model)
        write_table(self._scores(folder), scores.assign(**keys)[list(COLUMNS)])

    def write(self) -> pd.DataFrame:
        """Write the rows of all runs that are measured by now, whoever trained them."""
        # Whoever writes last has looked last, so that a table never loses rows.
        with locked(self._out, wait=True):
            done = [run for run in self._grid.runs() if self.is_measured(run)]
            tables = [self._tables(self.folder(run)) for run in done]
            scores, gradients = (
                pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True)
            )
            write_table(self._out / f"{self._grid.name}.csv", scores)
            write_table(self._out / f"{self._grid.name}-gradients.csv", gradients)
            write_record(self._out / f"{self._grid.name}.json", self._record(done))
        return scores

    def _record(self, done: Sequence[LossRun]) -> dict[str, Any]:
        model = load_model(self.folder(done[0]) / "checkpoint.safetensors")
        training = model.provenance.training
        assert training is not None, "a run's checkpoint tells how it was trained"
        record = provenance(
            [],
            self._tests.sets,
            grid=self._grid.name,
            recipe=self._grid.base.without_paths(),
            perturbation=_PERTURBATION,
        )
        known: dict[str, Any] = {"data": dict(training.data)}
        known |= {key: training.run[key] for key in ("device", "versions")}
        checkpoints = (self.folder(run) / "checkpoint.safetensors" for run in done)
        known["precisions"] = sorted({str(precision_of(file)) for file in checkpoints})
        complete = completeness(self._grid, done)
        return {**record, "training": known, "complete": complete, "protocol": PAPER.name}

    def _tables(self, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
        if folder not in self._read:
            files = self._scores(folder), self._gradients(folder)
            self._read[folder] = pd.read_csv(files[0]), pd.read_csv(files[1])
        return self._read[folder]

    def _scores(self, folder: Path) -> Path:
        return folder / f"scores-{self._tests.key}.csv"

    def _gradients(self, folder: Path) -> Path:
        return folder / f"gradients-{self._tests.key}.csv"


def completeness(grid: LossGrid, done: Sequence[LossRun]) -> list[dict[str, Any]]:
    """Return the seeds of each loss and length that are planned, and those that are done."""
    finished = {run.recipe.name for run in done}
    return seeds_by_loss(
        {
            "loss": run.loss,
            "iterations": run.recipe.iterations,
            "planned": [run.recipe.seed],
            "done": [run.recipe.seed] if run.recipe.name in finished else [],
        }
        for run in grid.runs()
    )


class _Tests:
    """Images to measure networks on, with what does not depend on the network found once.

    Args:
        sets: The data sets; images held in memory.
        base: The recipe whose patches the gradients are measured on, drawn from the first set.
    """

    def __init__(self, sets: Sequence[ImageSet], base: Recipe) -> None:
        self.sets = list(sets)
        self._base = base

    @cached_property
    def key(self) -> str:
        """Return a short hash of the images."""
        text = " ".join(f"{images.name} {images.sha256}" for images in self.sets)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def scores(self, model: SRModel) -> pd.DataFrame:
        """Return a network's scores: the columns of `COLUMNS` that are not the run's.

        Every image is restored once.
        """
        tables = []
        for name, images in self._images.items():
            scores, rows = [], []
            for pair, tenths in images:
                sr = model.restore(pair.lr).cpu()
                scores.append(PAPER.score(sr, pair.hr, pair.scale))
                error = absolute_difference(sr, pair.hr)
                rows += [
                    (ranking, tenth, *means)
                    for ranking, of_pixel in tenths.items()
                    for tenth, _, *means in means_by_tenth(error, of_pixel)
                ]
            columns = ["ranked_by", "tenth", *get_args(Measure)]
            by_tenth = pd.DataFrame(rows, columns=columns).groupby(columns[:2], sort=False)
            table = by_tenth.mean().reset_index()
            psnr = mean_psnr(score.psnr_db for score in scores)
            ssim = sum(score.ssim for score in scores) / len(scores)
            tables.append(table.assign(dataset=name, psnr_db=psnr, ssim=ssim))
        return pd.concat(tables, ignore_index=True)

    def gradients(self, model: SRModel, recipe: Recipe, *, allow_code: bool) -> pd.DataFrame:
        """Return the share of each tenth in the gradient at the output, at the start and the end.

        Of a fixed batch of patches. The share is in percent.
        """
        cpu = torch.device("cpu")
        loss = recipe_loss(recipe, allow_code=allow_code)
        start = Learner(recipe, cpu, cpu, allow_code=allow_code).model
        lr, hr = self._sample
        bicubic = upsample_bicubic(lr, recipe.scale)
        shares: dict[str, list[float]] = {}
        for moment, network, done in (
            ("share_at_start", start, 0),
            ("share_at_end", model, recipe.iterations),
        ):
            with torch.no_grad():
                sr = network.eval()(lr.to(next(network.parameters()).device)).cpu()
            shares[moment] = [
                share
                for ranking in get_args(Ranking)
                for share in gradient_shares(_at_step(loss, done), sr, hr, bicubic, ranking)
            ]
        rows = [(ranking, t) for ranking in get_args(Ranking) for t in range(1, TENTHS + 1)]
        return pd.DataFrame(rows, columns=["ranked_by", "tenth"]).assign(**shares)

    def time_ratio(self, recipe: Recipe, device: str | None, *, allow_code: bool) -> float:
        """Return the time of a step over that with L1, on the batch of `gradients`."""
        return step_time_ratio(recipe, *self._sample, device, allow_code=allow_code)

    @cached_property
    def _images(self) -> dict[str, list[tuple[ImagePair, dict[str, Tensor]]]]:
        """Data set -> its images, with the tenth that each pixel is in, by each ranking."""
        return {images.name: [(pair, _tenths(pair)) for pair in images] for images in self.sets}

    @cached_property
    def _sample(self) -> tuple[Tensor, Tensor]:
        bank = PatchBank(self.sets[0], self._base.patch)
        return bank.cut(bank.draw(_SAMPLE, torch.Generator().manual_seed(0)))


def _tenths(pair: ImagePair) -> dict[str, Tensor]:
    """Return the tenth, from 1, of each pixel by each ranking."""
    bicubic = upsample_bicubic(pair.lr, pair.scale)
    return {
        ranking: tenth_of_pixels(difficulty(pair.hr, bicubic, ranking))
        for ranking in get_args(Ranking)
    }


def _at_step(loss: nn.Module, done: int) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return a loss as it is after some iterations."""
    return partial(loss, step=torch.tensor(done)) if takes_step(loss) else loss
