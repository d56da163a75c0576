"""What a run tells while it goes: log.csv, TensorBoard, a progress bar, lines of text."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from tqdm import tqdm

from srlongtail.metrics import PAPER
from srlongtail.models.facts import Training
from srlongtail.models.sr_model import SRModel, bicubic
from srlongtail.parallel import is_writer
from srlongtail.provenance import versions
from srlongtail.training.learner import Learner
from srlongtail.training.patches import PatchBank
from srlongtail.training.recipe import Recipe
from srlongtail.training.runfolder import RunFolder
from srlongtail.training.validation import TrainingSample, Validation


class Report:
    """Measures a network while it learns, and says so; its clock starts when it is made.

    Leaving it as a context takes the progress bar away, so that what is printed next is legible.
    Under `torchrun` every process calls the methods, and the writer alone measures and writes.

    Args:
        recipe, run, bank: Of the run.
        precision: That the network is trained in.
        done: Iterations done before, in another process.
        state: Of the report of that process.
        tell: Is called with a line of text after each validation.
    """

    def __init__(
        self,
        recipe: Recipe,
        run: RunFolder,
        bank: PatchBank,
        precision: str,
        done: int = 0,
        state: Mapping[str, Any] | None = None,
        tell: Callable[[str], object] | None = None,
    ) -> None:
        self._recipe = recipe
        self._run = run
        self._bank = bank
        self._precision = precision
        self._tell = tell or (lambda line: None)
        self._before = state["seconds"] if state else 0.0
        self._measured: dict[str, Any] = state["measured"] if state else {}
        self._versions = versions()
        self._board: Any = None
        if is_writer():
            self._validation = Validation.of(recipe)
            self._sample = TrainingSample(bank)
            self._bicubic = self._validation.measure(bicubic(recipe.scale))
            self._board = _tensorboard(run, done)
        self._bar = tqdm(
            initial=done,
            total=recipe.iterations,
            disable=None if is_writer() else True,  # None: silent unless stderr is a terminal
            dynamic_ncols=True,
        )
        self._start = self._mark = time.perf_counter()
        self._marked = done

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        if self._board is not None:
            self._board.close()

    @property
    def seconds(self) -> float:
        """Time spent on the run, in all processes that had a part in it one after the other."""
        return self._before + time.perf_counter() - self._start

    def step(self) -> None:
        """Move the progress bar on by an iteration."""
        self._bar.update()

    def row(self, iteration: int, learner: Learner, *, validate: bool) -> None:
        """Log an iteration, and the network's quality if it is to be measured now."""
        loss = learner.meter.take()
        if not is_writer():
            return
        now = time.perf_counter()
        row: dict[str, Any] = {
            "iteration": iteration,
            "elapsed_s": round(self.seconds, 2),
            "learning_rate": learner.rate,
        }
        if iteration > self._marked:
            row["loss"] = loss
            row["iterations_per_s"] = round((iteration - self._marked) / (now - self._mark), 3)
            self._bar.set_postfix(loss=f"{loss:.4g}", rate=f"{learner.rate:.2g}")
        if validate:
            row |= self._measure(learner.evaluated_model, iteration)
            self._tell(self._line(row))
        self._run.log(row)
        self._draw(row)
        self._mark, self._marked = time.perf_counter(), iteration

    def with_provenance(self, learner: Learner, iteration: int) -> SRModel:
        """Return the network after an iteration, with the provenance of its training.

        The provenance holds JSON values and no paths.
        """
        model = learner.evaluated_model
        run = {
            "seed": self._recipe.seed,
            "loss": self._recipe.loss_name,
            "precision": self._precision,
            "device": _name_of(model.device),
            "processes": dist.get_world_size() if dist.is_initialized() else 1,
            "versions": self._versions,
            "validation": self._measured,
            "seconds": round(self.seconds, 1),
            "iterations_per_s": round(iteration / self.seconds, 2),
        }
        training = Training(iteration, self._recipe.without_paths(), self._bank.source, run)
        model.provenance = replace(model.provenance, training=training)
        return model

    def state(self) -> dict[str, Any]:
        """Return what the report needs in the process that resumes the run."""
        return {"seconds": self.seconds, "measured": self._measured}

    def _measure(self, model: SRModel, iteration: int) -> dict[str, float]:
        fit, error = self._validation.measure(model), self._sample.measure(model)
        self._measured = {
            "dataset": self._validation.name,
            "protocol": PAPER.name,
            "iteration": iteration,
            **asdict(fit),
            "bicubic": asdict(self._bicubic),
        }
        columns = {f"validation_{key}": value for key, value in asdict(fit).items()}
        return columns | {f"training_{key}": value for key, value in asdict(error).items()}

    def _line(self, row: Mapping[str, Any]) -> str:
        iteration, total = row["iteration"], self._recipe.iterations
        parts = [f"{iteration}/{total}"]
        if "loss" in row:
            left = timedelta(seconds=round((total - iteration) / row["iterations_per_s"]))
            parts += [f"loss {row['loss']:.5f}", f"{row['iterations_per_s']:.1f} it/s, {left} left"]
        psnr, head, tail = (
            row[f"validation_{key}"] for key in ("psnr_db", "head_ad_levels", "tail_ad_levels")
        )
        known = self._bicubic
        return ", ".join(
            [
                *parts,
                f"{self._validation.name}: PSNR {psnr:.2f} dB (bicubic {known.psnr_db:.2f})",
                f"error of head {head:.2f} ({known.head_ad_levels:.2f}) and tail {tail:.2f} "
                f"({known.tail_ad_levels:.2f}) levels",
            ]
        )

    def _draw(self, row: Mapping[str, Any]) -> None:
        """Add a row's numbers to TensorBoard, where it is installed."""
        if self._board is None:
            return
        for name, value in row.items():
            self._board.add_scalar(name, value, row["iteration"])
        self._board.flush()


def _tensorboard(run: RunFolder, done: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(run.path / "tensorboard", purge_step=done + 1)


def _name_of(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"
