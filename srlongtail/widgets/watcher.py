"""The run watcher: loss, and the error of head and tail, while a network trains."""

import io
import math
import os
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import traitlets
from matplotlib.figure import Figure

from srlongtail.errors import InputError
from srlongtail.training.recipe import read_recipe
from srlongtail.training.runfolder import RunFolder
from srlongtail.widgets.base import FOLDER, Widget

HEAD_COLOR, TAIL_COLOR = "#0072B2", "#D55E00"
_MOST_POINTS = 400  # of the loss; each is the mean of the rows it stands for
_BANDS = (
    "validation_head_ad_levels",
    "validation_tail_ad_levels",
    "training_head_ad_levels",
    "training_tail_ad_levels",
)


class RunWatcher(Widget):
    """Watch a training run: its loss, and the error of head and tail, as its log grows.

    The log is read again in a thread of its own until the run is complete, so that a run can be
    watched while another cell, process or machine trains it.

    Args:
        folder: The run's folder. It need not exist yet.
        every_s: Seconds between two looks; None looks once.

    Attributes:
        loss: Points `[iteration, loss]`.
        bands: Column of the log -> points `[iteration, AD in levels of 255]`.
        iteration, iterations: How far the run is, and how far it goes; 0 where unknown.

    Raises:
        InputError: `every_s` is not positive.

    Example:
        >>> RunWatcher("runs/not-begun", every_s=None).message
        'waiting for runs/not-begun/log.csv'
    """

    _esm = FOLDER / "watcher.js"
    picture_type = "image/png"
    name = traitlets.Unicode().tag(sync=True)
    loss: Any = traitlets.List().tag(sync=True)
    bands = traitlets.Dict().tag(sync=True)
    iteration = traitlets.Int(0).tag(sync=True)
    iterations = traitlets.Int(0).tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)

    def __init__(self, folder: str | os.PathLike[str], every_s: float | None = 2.0) -> None:
        self._stopped = threading.Event()
        if every_s is not None and not every_s > 0:
            raise InputError(f"every_s {every_s}, expected a positive number of seconds, or None")
        self._run = RunFolder(Path(folder))
        self._seen: tuple[int, int] | None = None
        super().__init__(name=self._run.path.name)
        self.look()
        if every_s is not None and not self.is_complete:
            threading.Thread(target=self._watch, args=(every_s,), daemon=True).start()

    @property
    def is_complete(self) -> bool:
        """Whether the run has reached its last iteration."""
        return 0 < self.iterations <= self.iteration

    def look(self) -> None:
        """Read the log, if it has changed."""
        try:
            facts = self._run.log_file.stat()
            changed = (facts.st_mtime_ns, facts.st_size)
            if changed == self._seen:
                return
            table = pd.read_csv(self._run.log_file)
            self.iterations = read_recipe(self._run.recipe_file).iterations
        except (OSError, pd.errors.EmptyDataError, InputError):
            self.message = f"waiting for {self._run.log_file}"
            return
        self._seen = changed
        with self.hold_sync():
            self.loss = _thinned(table)
            self.bands = {column: _points(table, column) for column in _BANDS}
            self.iteration = int(table["iteration"].iloc[-1]) if len(table) else 0
            self.message = self._describe()

    def stop(self) -> None:
        """Stop watching; `close` does, too."""
        self._stopped.set()

    def close(self) -> None:
        """Stop watching, and remove the widget."""
        self.stop()
        super().close()

    def picture(self) -> bytes:
        """Return a PNG file of both charts."""
        figure = Figure(figsize=(7, 2.4), dpi=120, layout="constrained")
        left, right = figure.subplots(1, 2)
        if self.loss:
            left.plot(*zip(*self.loss, strict=True), color="black")
        left.set(xlabel="iteration", ylabel="loss")
        figure.suptitle(self.message, fontsize=8)
        for column, points in self.bands.items():
            color = HEAD_COLOR if "head" in column else TAIL_COLOR
            style = "-" if column.startswith("validation") else "--"
            label = column.removesuffix("_ad_levels").replace("_", ", ")
            if points:
                right.plot(*zip(*points, strict=True), style, color=color, label=label)
        right.set(xlabel="iteration", ylabel="AD (levels of 255)", ylim=(0, None))
        if right.lines:
            right.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
        file = io.BytesIO()
        figure.savefig(file)
        return file.getvalue()

    def _watch(self, every_s: float) -> None:
        while not (self.is_complete or self._stopped.wait(every_s)):
            self.look()

    def _describe(self) -> str:
        text = f"iteration {self.iteration:,} of {self.iterations:,}"
        if self.loss:
            text += f", loss {self.loss[-1][1]:.4g}"
        head, tail = (self.bands[column] for column in _BANDS[:2])
        if head and tail:
            text += f", validation: head {head[-1][1]:.2f}, tail {tail[-1][1]:.2f} levels"
        return text


def _points(table: pd.DataFrame, column: str) -> list[list[float]]:
    rows = table[["iteration", column]].dropna()
    return [[int(iteration), float(value)] for iteration, value in rows.to_numpy()]


def _thinned(table: pd.DataFrame) -> list[list[float]]:
    points: list[Any] = _points(table, "loss")
    stride = math.ceil(len(points) / _MOST_POINTS) or 1
    parts = [points[start : start + stride] for start in range(0, len(points), stride)]
    return [[part[-1][0], sum(value for _, value in part) / len(part)] for part in parts]
