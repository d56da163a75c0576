"""Compute, draw and write the paper's figures: picture, the data drawn, and provenance."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from matplotlib.figure import Figure

from srlongtail.errors import InputError
from srlongtail.files import replacing
from srlongtail.paper import fig1, fig3, fig5, fig6
from srlongtail.paper.inputs import FigureInputs
from srlongtail.plots.style import paper_style
from srlongtail.provenance import provenance
from srlongtail.results import write_record, write_table


class Result(Protocol):
    """What a figure's `compute` gives."""

    def frame(self) -> pd.DataFrame: ...
    def caption(self) -> str: ...


class FigureModule(Protocol):
    """A module that makes one figure."""

    def compute(self, inputs: FigureInputs) -> Any: ...
    def draw(self, result: Any) -> Figure: ...


FIGURES: dict[str, FigureModule] = {
    "fig1": fig1,
    "fig3": fig3,
    "fig5": fig5,
    "fig6": fig6,
}


def build_figures(inputs: FigureInputs, out: Path, only: Iterable[str] = ()) -> list[Path]:
    """Write the figures asked for (all of them by default) to `out`; returns the PNGs' paths."""
    names = list(only) or list(FIGURES)
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        raise InputError(f"no figure {unknown[0]!r}, expected one of {', '.join(FIGURES)}")
    settings = {"image": inputs.image, "window": inputs.window}
    record = provenance(inputs.models, [inputs.data], **settings)
    return [
        write_result(out / name, FIGURES[name], FIGURES[name].compute(inputs), record)
        for name in names
    ]


def write_result(
    stem: Path, module: FigureModule, result: Result, record: Mapping[str, Any]
) -> Path:
    """Draw a result and write `stem` as `.png`, `.pdf`, `.csv` and `.json`; returns the PNG's path.

    The pictures hold no date, so that the same result gives the same bytes.
    """
    png = stem.with_suffix(".png")
    with paper_style():
        figure = module.draw(result)
        with replacing(png) as path:
            figure.savefig(path, metadata={"Software": None})
        with replacing(stem.with_suffix(".pdf")) as path:
            figure.savefig(path, metadata={"CreationDate": None})
    write_table(stem.with_suffix(".csv"), result.frame())
    caption = f"{result.caption()} {record['training']}".strip()
    write_record(stem.with_suffix(".json"), {"caption": caption, **record})
    return png
