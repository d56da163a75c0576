"""Tables 1 to 4: scores of the given models, beside the published ones."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from srlongtail.ablation.seeds import seed_spread
from srlongtail.errors import InputError
from srlongtail.evaluation import Task, evaluate_together, perfect_images
from srlongtail.image.dataset import ImageSet, Source
from srlongtail.image.degrade import BlurNoise, Degradation
from srlongtail.image.lr_rule import find_lr_rule
from srlongtail.metrics import PAPER, Y_CHANNEL, Protocol
from srlongtail.models.catalog import CATALOG
from srlongtail.models.sr_images import AnyModel
from srlongtail.models.sr_model import SRModel, bicubic
from srlongtail.provenance import training_budget
from srlongtail.stats import BOOTSTRAP_FROM, Interval, mean_interval
from srlongtail.studies.saved import Saved, key_of
from srlongtail.training.recipe import RECIPES

METRICS = ("psnr_db", "ssim")
INTERVALS: dict[str, Any] = {"confidence": 0.95, "resamples": 9999, "seed": 0}
_REFERENCE = Path(__file__).with_name("reference.csv")


@dataclass(frozen=True)
class TableSpec:
    """One of the paper's tables.

    Attributes:
        number: Its number in the paper.
        scale: SR pixels per LR pixel.
        protocol: How images are scored.
        degraded: Whether LR is made by Eq. 8.
        only: The architectures it is about; default: all without a table of their own.
    """

    number: int
    scale: int
    protocol: Protocol
    degraded: bool = False
    only: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Name of its files."""
        return f"table{self.number}"

    def takes(self, model: SRModel) -> bool:
        """Return whether a model belongs here, by its scale, degradation and architecture."""
        fits = model.scale == self.scale and _is_degraded(model) == self.degraded
        if self.only:
            return fits and model.architecture in self.only
        return fits and model.architecture not in _OF_ITS_OWN

    @property
    def subject(self) -> str:
        """Network, scale and degradation, as `subject` returns them for a model."""
        networks = ", ".join(CATALOG[name].label for name in sorted(self.only)) or "networks"
        return _subject(networks, self.scale, self.degraded)

    @property
    def degradation(self) -> Degradation | None:
        """How LR is made: by Eq. 8; None for stored LR images or bicubic."""
        return BlurNoise(self.scale) if self.degraded else None

    def published(self) -> pd.DataFrame:
        """Return the published numbers: `model, arm, dataset, psnr_db, ssim`."""
        table = _reference()
        return table[table["table"] == self.number].drop(columns=["table", "task"])


_OF_ITS_OWN = frozenset({"bsrn"})

TABLES = {
    spec.name: spec
    for spec in (
        TableSpec(1, 4, PAPER),
        TableSpec(2, 2, PAPER),
        TableSpec(3, 4, PAPER, degraded=True),
        TableSpec(4, 4, Y_CHANNEL, only=_OF_ITS_OWN),
    )
}
"""The tables by name."""


class Row(NamedTuple):
    """A model in a table.

    Attributes:
        network: Its name in the paper, or its own name if it is not there.
        arm: baseline, FPL, or the parts of FPL that it was trained with.
        model: Its own name.
        budget: Iterations and images that it was trained with; None if unknown.
    """

    network: str
    arm: str
    model: str
    budget: tuple[int, str] | None


@dataclass(frozen=True)
class PaperTable:
    """The content of a table.

    Attributes:
        name: Name of the table, such as table1.
        rows: The models.
        datasets: Names of the data sets; those of the paper, if it has them.
        scores: One row per model and image: `model, dataset, image, psnr_db, ssim`.
        table: See `frame`.
        tiled: Data set -> models that restored its images in tiles, if any.
        notes: What a reader must know, in sentences.
    """

    name: str
    rows: tuple[Row, ...]
    datasets: tuple[str, ...]
    scores: pd.DataFrame
    table: pd.DataFrame
    tiled: Mapping[str, Sequence[str]]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        spec: TableSpec,
        models: Sequence[SRModel],
        datasets: Sequence[ImageSet],
        names: Sequence[str],
        scores: Sequence[pd.DataFrame],
    ) -> "PaperTable":
        """Compare models with each other and with the paper.

        Args:
            spec: Which table it is.
            models: Bicubic, then the networks.
            datasets: The images.
            names: Names of the data sets; those of the paper, if it has them.
            scores: The scores for each model and data set, in this order.
        """
        rows = tuple(map(_row, models))
        named = zip(itertools.product(models, names), scores, strict=True)
        by_image = pd.concat([s.assign(dataset=name) for (_, name), s in named], ignore_index=True)
        table = _compare(spec, rows, names, by_image)
        tiled = {
            data.name: [m.name for m in models if spec.protocol.tiling(m.architecture, data.name)]
            for data in datasets
        }
        tiled = {name: restored_so for name, restored_so in tiled.items() if restored_so}
        found = cls(spec.name, rows, tuple(names), by_image, table, tiled)
        return replace(found, notes=tuple(_notes(found, models[1:], datasets)))

    @property
    def spec(self) -> TableSpec:
        """Which of the paper's tables it is."""
        return TABLES[self.name]

    def frame(self) -> pd.DataFrame:
        """Return one row per network, arm and data set, and per gain with its interval over images.

        As in the paper, the gains of a network follow its scores. Columns are `network, arm,
        model, title, is_gain, dataset, images`, then for `psnr_db` and `ssim` our value, `_low`
        and `_high` (95%, gains only), `_published` and `_difference` (ours minus published); NaN if
        absent.
        """
        return self.table

    def settings(self) -> dict[str, Any]:
        """Return what scores and intervals depend on, as JSON values."""
        tiles = {**asdict(self.spec.protocol.tiles), "restored_so": self.tiled}
        return {
            "protocol": self.spec.protocol.name,
            "scale": self.spec.scale,
            "intervals": INTERVALS,
            "tiles": tiles if self.tiled else None,
        }

    def absent(self) -> list[str]:
        """Return the published numbers without a counterpart, as texts."""
        there = {(r.network, r.arm, d) for r in self.rows for d in self.datasets}
        published = self.spec.published()
        missing: dict[str, list[str]] = {}
        for (network, arm), cells in published.groupby(["model", "arm"], sort=False):
            gone = [d for d in cells["dataset"] if (network, arm, d) not in there]
            what = "everything" if len(gone) == len(cells) else ", ".join(gone)
            missing.setdefault(what, []).append(label(str(network), str(arm)))
        return [f"{what} of {', '.join(names)}" for what, names in missing.items() if what]


def build_table(
    spec: TableSpec, models: Sequence[SRModel], datasets: Sequence[ImageSet], saved: Saved
) -> PaperTable:
    """Return one table; see `build_tables`."""
    return build_tables([(spec, datasets)], models, saved)[0]


def build_tables(
    specs: Sequence[tuple[TableSpec, Sequence[ImageSet]]], models: Sequence[SRModel], saved: Saved
) -> list[PaperTable]:
    """Return tables after scoring bicubic and the models of each; saved scores are used again.

    Args:
        specs: The tables, each with images at its scale and degradation.
        models: Any models; those that belong to no table are left out.
        saved: Scores of earlier runs.

    Raises:
        InputError: Two models or data sets of a table have the same name.
    """
    low = cache(bicubic)  # one model in all tables of a scale
    wanted: list[Task] = []
    tables = []
    for spec, datasets in specs:
        chosen = [low(spec.scale), *filter(spec.takes, models)]
        _refuse_twins([model.name for model in chosen], "models")
        names = tuple(paper_name(data.name) for data in datasets)
        _refuse_twins(names, "data sets")
        tasks = [Task([model], data, spec.protocol) for model in chosen for data in datasets]
        tables.append((spec, chosen, datasets, names, slice(len(wanted), len(wanted) + len(tasks))))
        wanted += tasks
    scores = _scores(wanted, saved)
    return [
        PaperTable.of(spec, chosen, datasets, names, scores[part])
        for spec, chosen, datasets, names, part in tables
    ]


def subject(model: SRModel) -> str:
    """Return network, scale and degradation, which determine the table that a model belongs to.

    Example:
        >>> from srlongtail.models.catalog import new_model
        >>> subject(new_model("bsrn", 2))
        'BSRN at x2'
    """
    known = CATALOG.get(model.architecture or "")
    network = known.label if known else "networks"
    return _subject(network, model.scale, _is_degraded(model))


def gain_pairs(rows: Sequence[Row]) -> Iterator[tuple[Row, Row]]:
    """Yield FPL with the baseline, and with the skip alone, the fair comparison for the weights.

    Only models of one network that were trained equally long on the same images are compared (or
    whose training is unknown for both): another training is not a gain of a loss.

    Args:
        rows: Rows of a table.
    """
    for better in rows:
        if better.arm == "FPL":
            twins = [r for r in rows if (r.network, r.budget) == (better.network, better.budget)]
            yield from ((better, row) for row in twins if row.arm in ("baseline", "skip"))


def label(network: str, arm: str) -> str:
    """Return the title of a row: the network's name, and what was added to its baseline.

    Example:
        >>> label("FSRCNN", "baseline"), label("FSRCNN", "FPL")
        ('FSRCNN', 'FSRCNN+FPL')
    """
    return network if arm == "baseline" else f"{network}+{arm}"


def paper_name(dataset: str) -> str:
    """Return the paper's name of a data set, or the same name if the paper does not have it.

    Example:
        >>> paper_name("urban100"), paper_name("B100"), paper_name("mine")
        ('Urban100', 'BSD100', 'mine')
    """
    known = {name.lower(): name for name in _reference()["dataset"].unique()} | {"b100": "BSD100"}
    return known.get(dataset.lower(), dataset)


@cache
def _reference() -> pd.DataFrame:
    return pd.read_csv(_REFERENCE)


@cache
def _published(spec: TableSpec, network: str, dataset: str) -> dict[str, dict[str, float]]:
    """Return arm -> metric -> published number; empty if there is none."""
    table = spec.published()
    rows = table[(table["model"] == network) & (table["dataset"] == dataset)]
    return {
        row.arm: {metric: getattr(row, metric) for metric in METRICS} for row in rows.itertuples()
    }


def _scores(tasks: Sequence[Task], saved: Saved) -> list[pd.DataFrame]:
    """Return the scores of tasks of one model each: saved ones, the others from one pass."""
    found: dict[int, pd.DataFrame] = {}
    missing: dict[tuple[Source, ...], list[int]] = {}
    places = [_place(*task) for task in tasks]
    for number, ((name, key), task) in enumerate(zip(places, tasks, strict=True)):
        known = None if key is None else saved.find(name, key)
        if known is None:
            missing.setdefault(task.data.hr_sources, []).append(number)
        else:
            found[number] = known
    for numbers in missing.values():
        tables = evaluate_together([tasks[number] for number in numbers])
        for number, table in zip(numbers, tables, strict=True):
            name, key = places[number]
            if key is not None:
                saved.keep(name, key, table)
            found[number] = table
    return [found[number] for number in range(len(tasks))]


def _place(
    models: Sequence[AnyModel], data: ImageSet, protocol: Protocol
) -> tuple[str, dict[str, Any] | None]:
    """Return the name and the key under which scores are saved."""
    lr = type(data.degradation).__name__.lower() if data.makes_lr else "stored"
    name = f"scores-{models[0].name}-x{data.scale}-{data.name}-{lr}-{protocol.name}"
    key = key_of("srlongtail.evaluation", models, [data], protocol=protocol.name)
    return name.replace("/", "-"), key


def _compare(
    spec: TableSpec, rows: Sequence[Row], datasets: Sequence[str], scores: pd.DataFrame
) -> pd.DataFrame:
    """Return the table; see `PaperTable.frame`."""
    # The PSNR of a perfect image is infinite: it counts in no mean and in no gain.
    by_image = {
        place: table.set_index("image")[list(METRICS)].replace(np.inf, np.nan)
        for place, table in scores.groupby(["model", "dataset"])
    }
    absent = pd.DataFrame(columns=list(METRICS), dtype=float)

    def title(row: Row) -> str:
        """What tells a row from the others: its label, and the model where two share a label."""
        twins = [r for r in rows if (r.network, r.arm) == (row.network, row.arm)]
        own = f" ({row.model})" if len(twins) > 1 else ""
        return label(row.network, row.arm) + own

    def score(row: Row, dataset: str) -> dict[str, Any]:
        values = by_image.get((row.model, dataset), absent)
        printed = _published(spec, row.network, dataset).get(row.arm, {})
        record: dict[str, Any] = {
            "network": row.network,
            "arm": row.arm,
            "model": row.model,
            "title": title(row),
            "is_gain": False,
            "dataset": dataset,
            "images": len(values),
        }
        for metric in METRICS:
            published = printed.get(metric, np.nan)
            record |= _cells(metric, values[metric].mean(), (np.nan, np.nan), published)
        return record

    def gain(better: Row, base: Row, dataset: str) -> dict[str, Any]:
        gains = by_image[better.model, dataset] - by_image[base.model, dataset]
        printed = _published(spec, better.network, dataset)
        known = {better.arm, base.arm} <= set(printed)
        record: dict[str, Any] = {
            "network": better.network,
            "arm": f"gain of {better.arm} over {base.arm}",
            "model": f"{better.model} - {base.model}",
            "title": f"Gain of {title(better)} over {title(base)}",
            "is_gain": True,
            "dataset": dataset,
            "images": len(gains),
        }
        for metric in METRICS:
            values = gains[metric].dropna().to_numpy()
            nothing = Interval(np.nan, np.nan, np.nan, "no image")
            found = mean_interval(values, **INTERVALS) if len(values) else nothing
            published = printed[better.arm][metric] - printed[base.arm][metric] if known else np.nan
            record |= _cells(metric, found.estimate, (found.low, found.high), published)
        return record

    records = []
    for of_network in _by_network(rows, spec, datasets):
        pairs = gain_pairs([row for row in of_network if row.model])
        records += [score(row, dataset) for row in of_network for dataset in datasets]
        records += [gain(*pair, dataset) for pair in pairs for dataset in datasets]
    return pd.DataFrame(records)


def _is_degraded(model: SRModel) -> bool:
    """Return whether a network was trained for Eq. 8."""
    return model.degradation == "blur-noise"


def _subject(network: str, scale: int, degraded: bool) -> str:
    return f"{network} at x{scale}" + (" for multiple degradations" if degraded else "")


def _row(model: SRModel) -> Row:
    known = CATALOG.get(model.architecture or "")
    training = model.provenance.training
    budget = training.budget if training else None
    return Row(known.label if known else model.name, model.arm, model.name, budget)


def _by_network(
    rows: Iterable[Row], spec: TableSpec, datasets: Sequence[str]
) -> Iterable[list[Row]]:
    """Return the rows of each network, with empty rows for other arms of the paper."""
    networks = {row.network: [r for r in rows if r.network == row.network] for row in rows}
    for network, there in networks.items():
        published = {arm for dataset in datasets for arm in _published(spec, network, dataset)}
        missing = published - {row.arm for row in there}
        there += [Row(network, arm, "", None) for arm in missing]
        there.sort(key=lambda row: (row.arm == "FPL", row.arm != "baseline"))
    return networks.values()


def _cells(
    metric: str, ours: float, interval: tuple[float, float], published: float
) -> dict[str, float]:
    low, high = interval
    return {
        metric: ours,
        f"{metric}_low": low,
        f"{metric}_high": high,
        f"{metric}_published": published,
        f"{metric}_difference": ours - published,
    }


def _notes(
    table: PaperTable, networks: Sequence[SRModel], datasets: Sequence[ImageSet]
) -> Iterator[str]:
    spec = table.spec
    color = "RGB" if spec.protocol.channels == "rgb" else "luma"
    yield (
        f"Scored on {color} with the {spec.protocol.kernel} SSIM window, {spec.scale} pixels "
        f"cropped on each side; means over the images of "
        f"{', '.join(f'{data.name} ({len(data)})' for data in datasets)}."
    )
    if spec.degraded:  # then LR images are always made
        yield f"LR by Eq. 8: {spec.degradation}."
    else:
        yield from _lr_notes(table, datasets)
    yield from _training_notes(table, networks)
    if table.tiled:
        tiles = spec.protocol.tiles
        where = "; ".join(f"{', '.join(names)} on {data}" for data, names in table.tiled.items())
        yield (
            f"Restored in tiles of {tiles.size} x {tiles.size} LR pixels, one every {tiles.step}, "
            f"as in the paper: {where}."
        )
    yield (
        f"Intervals: {INTERVALS['confidence']:.0%}, over images: Student's t for fewer than "
        f"{BOOTSTRAP_FROM} images, BCa bootstrap otherwise."
    )
    compared = {better.model for better, _ in gain_pairs(table.rows)}
    alone = [row.model for row in table.rows if row.arm == "FPL" and row.model not in compared]
    if alone:
        yield (
            f"No gain is given for {', '.join(alone)}: no baseline at hand that is known to be "
            f"trained as long on the same images."
        )
    if spec.number == 1:
        yield from _seed_notes(table.datasets)
    for (model, data), images in perfect_images(table.scores).items():
        yield (
            f"Restored perfectly by {model}, and left out of the mean of PSNR on {data}: "
            f"{', '.join(images)}."
        )
    absent = table.absent()
    if absent:
        yield f"Of the paper's numbers these have no counterpart here: {'; '.join(absent)}."


def _lr_notes(table: PaperTable, datasets: Sequence[ImageSet]) -> Iterator[str]:
    """Yield the source of the LR images, and their rule where published numbers are shown."""
    said: dict[str, list[str]] = {}
    for data in datasets:
        text = str(data.lr_source)
        beside = any(_published(table.spec, r.network, paper_name(data.name)) for r in table.rows)
        if data.lr_source.source == "stored" and beside:
            text += f": {find_lr_rule(data)}"
        said.setdefault(text, []).append(data.name)
    for text, names in said.items():
        yield f"LR images of {', '.join(names)}: {text}."


def _training_notes(table: PaperTable, networks: Sequence[SRModel]) -> Iterator[str]:
    """Yield how long each network was trained, and the paper's iterations beside."""
    budget = training_budget(networks)
    if budget:
        yield budget
    untold = [
        model.name
        for model in networks
        if model.predicts == "residual"
        and model.provenance.training is None
        and model.provenance.arm is None
    ]
    if untold:
        yield (
            f"{', '.join(untold)} predicts a residual, which tells of the skip; whether the focal "
            f'weights were used, its file does not say, but a model card can (arm = "FPL").'
        )
    unknown = [model.name for model in networks if model.provenance.training is None]
    if unknown:
        yield f"How long {', '.join(unknown)} was trained is not known."
    beside = {
        row.network
        for row in table.rows
        if any(_published(table.spec, row.network, dataset) for dataset in table.datasets)
    }
    papers = _papers_iterations()
    told = [f"{name} {n:,} iterations" for name, n in papers.items() if name in beside]
    if told:
        yield f"The paper's training: {'; '.join(told)}, all on the 800 images of DIV2K."
    short = [
        better.model
        for better, base in gain_pairs(table.rows)
        if base.arm == "baseline"
        and better.budget is not None
        and better.budget[0] < papers.get(better.network, 0)
    ]
    if short:
        yield (
            f"After fewer iterations than the paper's, gains over a baseline ({', '.join(short)}) "
            f"are inflated: it has no bicubic skip and converges slowly. The skip alone is the "
            f"fair comparison for the weights."
        )


def _papers_iterations() -> dict[str, int]:
    """Return the iterations by the paper's names; the paper does not state them for BSRN."""
    return {
        CATALOG[recipe.network].label: recipe.iterations
        for recipe in RECIPES.values()
        if recipe.network != "bsrn"
    }


def _seed_notes(datasets: Iterable[str]) -> Iterator[str]:
    for dataset in datasets:
        found = seed_spread(dataset)
        if found:
            yield (
                f"Over {found.seeds} seeds of FSRCNN after {found.iterations:,} iterations each, "
                f"the gain of FPL on {dataset} is {found.mean_db:+.2f} dB with a standard "
                f"deviation of {found.std_db:.2f} dB."
            )


def _refuse_twins(names: Sequence[str], what: str) -> None:
    twins: Mapping[str, None] = {name: None for name in names if names.count(name) > 1}
    if twins:
        raise InputError(f"two {what} called {', '.join(twins)}, expected different names")
