"""Figures and tables: what each depends on, and how it is computed, drawn and written."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from matplotlib.figure import Figure

from srlongtail.errors import InputError, Parameter
from srlongtail.files import replacing
from srlongtail.image.dataset import ImageSet
from srlongtail.image.degrade import Degradation
from srlongtail.models.sr_model import SRModel
from srlongtail.paper import fig1, fig3, fig4, fig5, fig6, tables
from srlongtail.paper.gallery import write_gallery
from srlongtail.paper.inputs import FigureInputs
from srlongtail.paper.layout import latex, layout, markdown
from srlongtail.paper.tables import TABLES, PaperTable, subject
from srlongtail.provenance import provenance
from srlongtail.results import write_record, write_table
from srlongtail.studies.current import Written
from srlongtail.studies.saved import Saved, key_of
from srlongtail.studies.writing import drawn, write_files


class FigureModule(Protocol):
    """A module that makes one figure."""

    def compute(self, inputs: FigureInputs) -> Any: ...
    def draw(self, result: Any) -> Figure: ...


class Needs(NamedTuple):
    """What a figure depends on: if any of it changes, the figure is recomputed.

    Attributes:
        models: Models.
        data: Data sets.
        settings: Settings by name, as JSON values.
    """

    models: Iterable[SRModel] = ()
    data: tuple[ImageSet, ...] = ()
    settings: Mapping[str, Any] = {}


@dataclass(frozen=True)
class FigureEntry:
    """A figure of the paper.

    Attributes:
        module: The module that makes it.
        needs: Returns what it depends on.
    """

    module: FigureModule
    needs: Callable[[FigureInputs], Needs]


FIGURES = {
    "fig1": FigureEntry(fig1, lambda i: Needs(i.models, (i.data,), {"image": i.image})),
    "fig3": FigureEntry(
        fig3,
        lambda i: Needs(
            i.models, (i.shown if i.window or i.image else i.data,), {"window": i.window}
        ),
    ),
    "fig4": FigureEntry(fig4, lambda i: Needs(settings=fig4.settings(i))),
    "fig5": FigureEntry(fig5, lambda i: Needs(i.models[-1:], (i.shown,))),
    "fig6": FigureEntry(
        fig6, lambda i: Needs(i.networks or i.models, (i.shown,), {"window": i.window})
    ),
}
"""The figures by name."""


def build_figures(
    inputs: FigureInputs,
    out: Path,
    only: Iterable[str] = (),
    force: bool = False,
    written: Written | None = None,
) -> list[Path]:
    """Write the requested figures, and a gallery of all figures in the folder.

    Results are saved beside the figures. Only those whose inputs have changed are recomputed; the
    others are drawn from the saved results. All are computed before any is written.

    Args:
        inputs: Networks, images, and what to show of them.
        out: Folder to write to.
        only: Names from `FIGURES`; default: all.
        force: Recompute all.
        written: Where to note what was written, so that a later run can tell that it is current.

    Returns:
        Paths of the PNG files.

    Raises:
        InputError: There is no such figure, or the inputs do not fit; no figure is written then.
    """
    names = list(only) or list(FIGURES)
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        raise InputError(f"no figure {unknown[0]!r}, expected one of {', '.join(FIGURES)}")
    all_needs = {name: FIGURES[name].needs(inputs) for name in names}
    saved = Saved(out, force)
    keys = {
        name: key_of(f"srlongtail.paper.{name}", needs.models, needs.data, **needs.settings)
        for name, needs in all_needs.items()
    }
    results = {
        name: saved.result(name, key, partial(FIGURES[name].module.compute, inputs))
        for name, key in keys.items()
    }
    for name, needs in all_needs.items():
        record = provenance(needs.models, needs.data, **needs.settings)
        files = drawn(FIGURES[name].module.draw, results[name], record)
        write_files(out / name, files)
        if written is not None and keys[name] is not None:  # else code may change unnoticed
            written.keep(name, {f"{name}{suffix}": content for suffix, content in files.items()})
    write_gallery(out)
    return [out / f"{name}.png" for name in names]


def build_tables(
    models: Sequence[SRModel],
    open_sets: Callable[[int, Degradation | None], Sequence[ImageSet]],
    out: Path,
    only: Iterable[str] = (),
    force: bool = False,
) -> list[Path]:
    """Write tables as `.csv`, `.md`, `.tex` and `.json`.

    Args:
        models: The models; each goes to the tables that it belongs to.
        open_sets: Returns the data sets for a scale, and for a degradation unless that is None.
        out: Folder to write to.
        only: Names from `TABLES`; default: those that a model belongs to.
        force: Score all again.

    Returns:
        Paths of the Markdown files.

    Raises:
        InputError: There is no such table, no model for any, or the data do not fit; no table is
            written then.
    """
    names = _table_names(models, only)
    chosen = [TABLES[name] for name in names]
    # Tables of one scale and degradation share their data sets.
    rules = {(spec.scale, spec.degraded): spec.degradation for spec in chosen}
    opened = {key: open_sets(key[0], rule) for key, rule in rules.items()}
    specs = [(spec, opened[spec.scale, spec.degraded]) for spec in chosen]
    paths = []
    for table, (spec, datasets) in zip(
        tables.build_tables(specs, models, Saved(out, force)), specs, strict=True
    ):
        record = provenance([m for m in models if spec.takes(m)], datasets, **table.settings())
        paths.append(_write_table(out / spec.name, table, record))
    write_gallery(out)
    return paths


def _table_names(models: Sequence[SRModel], only: Iterable[str]) -> list[str]:
    """Return the requested tables, or else those that a model belongs to."""
    names = list(only) or [n for n, spec in TABLES.items() if any(map(spec.takes, models))]
    unknown = [name for name in names if name not in TABLES]
    if unknown:
        raise InputError(f"no table {unknown[0]!r}, expected one of {', '.join(TABLES)}")
    if not names:
        given = ", ".join(f"{m.name} ({subject(m)})" for m in models)
        about = ", ".join(f"{name} ({spec.subject})" for name, spec in TABLES.items())
        raise InputError(
            f"{given or 'no network besides bicubic'}: expected a network for one of {about}, or ",
            Parameter("only", "TABLE"),
        )
    return names


def _write_table(stem: Path, table: PaperTable, record: Mapping[str, Any]) -> Path:
    texts = layout(table)
    notes = "\n".join(f"- {note}" for note in table.notes)
    page = stem.with_suffix(".md")
    for path, text in (
        (page, f"{markdown(texts)}\n\n{notes}\n"),
        (stem.with_suffix(".tex"), latex(texts, table.notes)),
    ):
        with replacing(path) as temporary:
            temporary.write_text(text)
    write_table(stem.with_suffix(".csv"), table.frame())
    write_table(stem.with_name(f"{stem.name}-images.csv"), table.scores)
    caption = f"Ours beside the paper's Table {table.spec.number}."
    write_record(stem.with_suffix(".json"), {"caption": caption, "notes": table.notes, **record})
    return page
