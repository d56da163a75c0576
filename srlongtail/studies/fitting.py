"""Over-fitting of head and tail: two training runs, each on half of the images."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from srlongtail.errors import InputError, Parameter
from srlongtail.image.dataset import MOD_CROP, ImagePair, make_pair
from srlongtail.image.degrade import named_degradation
from srlongtail.image.io import read_image
from srlongtail.longtail.bands import LUCK_BETWEEN_NETWORKS
from srlongtail.longtail.fitting import FittingTable, measure_fitting
from srlongtail.longtail.tail import Ranking
from srlongtail.models.catalog import subject_of
from srlongtail.models.checkpoint import load_model
from srlongtail.models.find import RUN_CHECKPOINT
from srlongtail.models.sr_model import SRModel
from srlongtail.plots.fitting import plot_errors, plot_gaps, plot_gaps_by_tenth
from srlongtail.plots.style import PAGE, letter
from srlongtail.training.images import TrainingImage, choose_images, describe, find_images
from srlongtail.training.recipe import Recipe, differences, read_recipe

_MAY_DIFFER = {"half"}


@dataclass(frozen=True)
class Fitting:
    """The gap of every band of pixels against the iteration.

    Attributes:
        network: Name of the network in figures.
        summary: See `FittingTable.summary`.
        ranked_by: The quantity that ranks the pixels.
        images: Numbers of measured images of the halves.
        left_out: Number of images that are smaller than a training patch, which no run has seen.
        models: The two networks at the last iteration.
    """

    network: str
    summary: pd.DataFrame
    ranked_by: str
    images: tuple[int, int]
    left_out: int
    models: tuple[SRModel, SRModel]
    table: FittingTable
    change: pd.DataFrame | None = None
    reference: str = ""

    def frame(self) -> pd.DataFrame:
        """Return one row per iteration and band."""
        return self.summary

    def settings(self) -> dict[str, Any]:
        """Return the definition of the bands, and the numbers of images."""
        return {
            "ranked_by": self.ranked_by,
            "images_of_halves": list(self.images),
            "images_left_out": self.left_out,
            "reference": self.reference,
            "confidence": 0.95,
        }

    def at_the_end(self) -> pd.DataFrame:
        """Return the rows of the last iteration."""
        return self.summary[self.summary["iteration"] == self.summary["iteration"].max()]

    def message(self) -> str:
        """Return the gaps of head and tail at the last iteration, in words."""
        rows = self.at_the_end().set_index("band").loc[["head", "tail"]]
        percents = rows[["gap_percent", "low_percent", "high_percent"]]
        digits = 1 if percents.abs().to_numpy().max() >= 1 else 2  # small gaps need one more
        gaps = (
            f"{band} {gap:+.{digits}f}% [{low:+.{digits}f}, {high:+.{digits}f}]"
            for band, gap, low, high in percents.itertuples()
        )
        return f"Error of {self.network} on unseen images against seen ones: {', '.join(gaps)}"

    def caption(self) -> str:
        """Return what the figure shows."""
        small = ""
        if self.left_out:
            small = f"; {self.left_out} smaller than a training patch are left out"
        ranking = {"gradient": "the gradient of HR", "bicubic_ad": "bicubic's AD"}[self.ranked_by]
        return (
            f"{self.message()} after {self.summary['iteration'].max():,} iterations. Cross-fitting "
            f"of two runs, each on one half of the training images ({self.images[0]} and "
            f"{self.images[1]} images{small}): the gap is the error of the network that has not "
            f"seen an image minus that of the one that has, averaged over the images of both "
            f"halves. (a) Error on seen and unseen images; (b) gap of head and tail, in percent of "
            f"the error on unseen images; (c) gap of each tenth of an image's pixels at the end, "
            f"by {ranking}. 95% intervals over images ({self.summary['method'].iloc[0]}); other "
            f"runs of the same recipe would differ by more."
            f"{' ' + LUCK_BETWEEN_NETWORKS if self.ranked_by == 'bicubic_ad' else ''}"
            f"{self._against()}"
        )

    def _against(self) -> str:
        if self.change is None:
            return ""
        last = self.change[self.change["iteration"] == self.change["iteration"].max()]
        rows = last.set_index("band")
        changes = (
            f"{band} {rows.loc[band, 'change_percent']:+.1f} "
            f"[{rows.loc[band, 'low']:+.1f}, {rows.loc[band, 'high']:+.1f}]"
            for band in ("head", "tail")
        )
        return (
            f" The gap of {self.network} less that of {self.reference} at iteration "
            f"{last['iteration'].iloc[0]:,}, paired by image, in percentage points: "
            f"{', '.join(changes)}."
        )


class _Half(Sequence[ImagePair]):
    """Whole training images with their LR images, read one at a time."""

    def __init__(self, images: Sequence[TrainingImage], recipe: Recipe) -> None:
        self._degradation = named_degradation(recipe.degradation, recipe.scale)
        self._images = [image for image in images if _is_seen(image, recipe)]
        self.left_out = len(images) - len(self._images)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: Any) -> Any:
        image = self._images[index]
        return make_pair(read_image(image.path), self._degradation, image.name, "training images")


def compute(
    run_1: str | os.PathLike[str],
    run_2: str | os.PathLike[str],
    *,
    data: Sequence[str] = (),
    ranked_by: Ranking = "gradient",
    device: str | None = None,
    against: tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
) -> Fitting:
    """Measure both networks of two runs on both halves, at iterations that double.

    Args:
        run_1: Folder of a run on half 1 of the images.
        run_2: Folder of a run of the same recipe on half 2; or each on a folder of its own, without
            common images.
        data: Folders of the training images; default: those where the runs found them.
        ranked_by: Quantity that ranks the pixels; see `difficulty`.
        device: Device to compute on; default: the CPU.

    Raises:
        InputError: A folder is not a run, the recipes differ, images are not those of the run or
            were seen by both runs, or no checkpoints are of the same iterations.
    """
    runs = [Path(run_1), Path(run_2)]
    for run in runs:
        if not (run / "recipe.toml").is_file():
            raise InputError(
                f"{run}: no training run, expected the folder of one: "
                f"srlongtail train RECIPE --half 1 --keep-every 500 --out {run}"
            )
    recipes = [read_recipe(run / "recipe.toml") for run in runs]
    changes = differences(*recipes).keys() - _MAY_DIFFER
    if changes:
        raise InputError(
            f"{runs[1]}: {', '.join(sorted(changes))} not as in {runs[0]}, expected runs of one "
            f"recipe, each on one half of the images"
        )
    halves = [_images_of(run, recipe, data) for run, recipe in zip(runs, recipes, strict=True)]
    both = {image.path.resolve() for image in halves[0]}
    both &= {image.path.resolve() for image in halves[1]}
    if both:
        raise InputError(
            f"{runs[0]} and {runs[1]}: {len(both)} images are in both, such as {min(both).name}, "
            f"expected runs on different images: train with ",
            Parameter("half", 1),
            " and ",
            Parameter("half", 2),
        )
    checkpoints = [_checkpoints(run, device) for run in runs]
    common = _doubling(sorted(set(checkpoints[0]) & set(checkpoints[1])))
    networks = [{at: found[at] for at in common} for found in checkpoints]
    one, two = (_Half(half, recipe) for half, recipe in zip(halves, recipes, strict=True))
    table = measure_fitting((networks[0], networks[1]), (one, two), ranked_by)
    last = max(common)
    change, reference = None, ""
    if against is not None:
        other = compute(*against, data=data, ranked_by=ranked_by, device=device)
        change, reference = table.change(other.table), other.network
    return Fitting(
        subject_of(networks[0][last]).label,
        table.summary(),
        table.ranked_by,
        (len(one), len(two)),
        one.left_out + two.left_out,
        (networks[0][last], networks[1][last]),
        table,
        change,
        reference,
    )


def draw(result: Fitting) -> Figure:
    """Draw errors, gaps against the iteration, and gaps by tenth, at page width."""
    figure = Figure(figsize=(PAGE, 2.4))
    axes = figure.subplots(1, 3)
    letter(plot_errors(result.summary, axes[0]), 0, "error")
    letter(plot_gaps(result.summary, axes[1]), 1, "gap")
    letter(plot_gaps_by_tenth(result.summary, axes[2]), 2, "gap at the end")
    figure.suptitle(result.message(), fontsize=8)
    return figure


def _images_of(run: Path, recipe: Recipe, data: Sequence[str]) -> list[TrainingImage]:
    """Return the images that a run has seen, checked against the record in its checkpoint."""
    try:
        found = find_images(data or recipe.data)
        images = choose_images(found, recipe.half, recipe.images, recipe.hold_out)
    except InputError as error:
        advice = (", expected the images of the run: ", Parameter("data", "FOLDER"))
        raise error.about(str(run)).followed_by(*advice) from error
    training = load_model(run / RUN_CHECKPOINT).provenance.training
    seen: Mapping[str, Any] = training.data if training else {}
    if seen != describe(images):
        raise InputError(
            f"{run}: trained on {seen.get('images', 'unknown')} images that are not the "
            f"{len(images)} now found, expected the same ones, below folders of the same names: ",
            Parameter("data", "FOLDER"),
        )
    return images


def _checkpoints(run: Path, device: str | None) -> dict[int, SRModel]:
    """Return iteration -> network, for the checkpoints that were kept and the last one."""
    paths = [*sorted((run / "checkpoints").glob("*.safetensors")), run / RUN_CHECKPOINT]
    models = [load_model(path, device=device or "cpu") for path in paths]
    for model in models:
        model.name = run.resolve().name  # not the file's, which is a number or the same in all runs
    return {
        model.provenance.training.iterations: model
        for model in models
        if model.provenance.training is not None
    }


def _doubling(iterations: Sequence[int]) -> list[int]:
    """Return the first iteration, each that is at least twice the previous choice, and the last."""
    chosen: list[int] = []
    for iteration in iterations:
        if not chosen or iteration >= 2 * chosen[-1] or iteration == iterations[-1]:
            chosen.append(iteration)
    return chosen


def _is_seen(image: TrainingImage, recipe: Recipe) -> bool:
    with Image.open(image.path) as file:  # reads the header alone
        side = min(file.size)
    return (side - side % MOD_CROP) // recipe.scale >= recipe.patch
