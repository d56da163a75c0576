"""The files of a training run: written whole or not at all, by one process at a time."""

import contextlib
import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from srlongtail.errors import InputError, Parameter
from srlongtail.files import replacing
from srlongtail.models.checkpoint import save_model
from srlongtail.models.facts import Provenance
from srlongtail.models.sr_model import SRModel
from srlongtail.models.state import read_state
from srlongtail.parallel import is_writer
from srlongtail.training.lock import locked
from srlongtail.training.recipe import HARMLESS, Recipe, differences, read_recipe, write_recipe

COLUMNS = (
    "iteration",
    "elapsed_s",
    "iterations_per_s",
    "loss",
    "learning_rate",
    "validation_psnr_db",
    "validation_ssim",
    "validation_head_ad_levels",
    "validation_tail_ad_levels",
    "training_head_ad_levels",
    "training_tail_ad_levels",
)
"""Columns of log.csv; validations fill the last six."""

_UNFINISHED = re.compile(r"\.[a-z0-9_]{8}\.(pt|csv|toml|safetensors)")  # as `replacing` names files


class RunFolder:
    """A folder with `recipe.toml`, `checkpoint.safetensors`, `state.pt`, `log.csv`.

    Checkpoints that are kept lie in `checkpoints/`. Under `torchrun` only the writer writes.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.recipe_file = self.path / "recipe.toml"
        self.checkpoint_file = self.path / "checkpoint.safetensors"
        self.state_file = self.path / "state.pt"
        self.log_file = self.path / "log.csv"
        self.rows: list[Mapping[str, Any]] = []

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training into the folder, which is made if need be.

        The lock ends with the process, however that ends.

        Raises:
            InUseError: Another process trains there.
            InputError: The folder cannot be made.
        """
        with locked(self.path) if is_writer() else contextlib.nullcontext():
            yield

    def find_state(self, recipe: Recipe, *, resume: bool, force: bool) -> dict[str, Any] | None:
        """Return the state to go on from; None for a new run.

        Raises:
            InputError: A run is there already, or one of another recipe.
        """
        state = self._load_state() if self.state_file.is_file() else None
        if state is not None:
            if not resume:
                raise InputError(
                    f"{self.path}: holds a run of {state['iteration']} iterations, expected an "
                    f"empty folder, or ",
                    Parameter("resume", True),
                    " to go on with it",
                )
            changes = differences(read_recipe(self.recipe_file), recipe)
            if changes and not force:
                listed = ", ".join(f"{key} {old} -> {new}" for key, (old, new) in changes.items())
                raise InputError(
                    f"{self.path}: the run has another recipe ({listed}), expected the same, or ",
                    Parameter("force", True),
                    " to go on all the same",
                )
        return state

    def begin(self, recipe: Recipe, done: int) -> None:
        """Note the recipe, and go on with the log after the iterations done.

        Not before all else has proved usable: a run that is refused must stay as it was.
        """
        self.rows = self._read_log(up_to=done) if done else []  # a new run logs its iteration 0
        if is_writer():
            self._sweep()
            with self._writing():
                write_recipe(self.recipe_file, recipe)

    def log(self, row: Mapping[str, Any]) -> None:
        """Add a row to log.csv; keys are of `COLUMNS`."""
        self.rows.append({k: f"{v:.8g}" if isinstance(v, float) else v for k, v in row.items()})
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows)
        with self._writing(), replacing(self.log_file) as temporary:
            temporary.write_text(text.getvalue())

    def save(self, model: SRModel, state: Mapping[str, Any]) -> None:
        """Save the checkpoint and the state, each replacing the one before."""
        if not is_writer():
            return
        with self._writing():
            save_model(self.checkpoint_file, model)
        with self._writing(), replacing(self.state_file) as temporary:
            torch.save(dict(state), temporary)

    def keep(self, model: SRModel, iteration: int) -> None:
        """Save a checkpoint that later ones do not replace."""
        if not is_writer():
            return
        path = self.path / "checkpoints" / f"{iteration:08d}.safetensors"
        with self._writing():
            save_model(path, model)

    def _load_state(self) -> dict[str, Any]:
        try:
            return torch.load(self.state_file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file can lead the unpickler to raise anything
            raise InputError(f"{self.state_file}: damaged, expected a run's state") from error

    def _read_log(self, up_to: int) -> list[Mapping[str, Any]]:
        if not self.log_file.is_file():
            return []
        try:
            with self.log_file.open(newline="") as file:
                rows = list(csv.DictReader(file))
            known: list[Mapping[str, Any]] = [row for row in rows if int(row["iteration"]) <= up_to]
            if any(set(row) - set(COLUMNS) for row in known):
                raise ValueError("a row with more values than columns")
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise InputError(f"{self.log_file}: damaged, expected a run's log, or none") from error
        return known

    def _sweep(self) -> None:
        """Remove what a killed process was writing."""
        for path in self.path.rglob(".*"):
            if _UNFINISHED.fullmatch(path.name):
                path.unlink(missing_ok=True)

    @staticmethod
    @contextlib.contextmanager
    def _writing() -> Iterator[None]:
        """Say how to go on where a file cannot be written, for example on a full disk."""
        try:
            yield
        except InputError as error:
            raise error.followed_by(
                "; what was saved before stays, ", Parameter("resume", True), " goes on from there"
            ) from error


def find_finished(
    recipe: Recipe, source: Mapping[str, Any], root: str | os.PathLike[str]
) -> Path | None:
    """Return the folder of a finished run of a recipe below a folder, under any name.

    Args:
        recipe: Its name, data paths and intervals do not matter.
        source: The training images, as `describe` tells.
    """
    for path in sorted(Path(root).rglob("checkpoint.safetensors")):
        known = Provenance.from_header(read_state(path)[1].get("provenance", {})).training
        if known is None or known.iterations != recipe.iterations or known.data != source:
            continue
        if not differences(Recipe().changed(known.recipe, str(path)), recipe):
            return path.parent
    return None


def folder_name(recipe: Recipe, source: Mapping[str, Any]) -> str:
    """Return a name for the folder of a run that no other recipe or images have.

    Example:
        >>> folder_name(Recipe(), {}) == folder_name(Recipe(keep_every=10), {})
        True
        >>> folder_name(Recipe(), {}) == folder_name(Recipe(iterations=10), {})
        False
    """
    # Without the defaults, so that a setting that is new in a version renames no run.
    default = Recipe().as_dict()
    settings = {k: v for k, v in recipe.as_dict().items() if k not in HARMLESS and v != default[k]}
    text = json.dumps([settings, source], sort_keys=True)
    return f"{recipe.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
