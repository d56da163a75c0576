"""Whether the paper's claims hold for given networks and images: estimate, interval, verdict."""

import os
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import Tensor

from srlongtail.attribution.trust import AttributionWarning
from srlongtail.attribution.windows import compare_by_band, grid_windows
from srlongtail.errors import InputError
from srlongtail.evaluation import check_scales, scorable
from srlongtail.focal.pixel_loss import PixelLoss
from srlongtail.image.dataset import ImagePair, ImageSet
from srlongtail.longtail.bands import LUCK_BETWEEN_NETWORKS, measure_bands
from srlongtail.longtail.gradients import parameter_gradients
from srlongtail.longtail.restorers import map_pairs
from srlongtail.longtail.tail import TAIL, TENTHS, difficulty, measure_tail
from srlongtail.metrics import PAPER
from srlongtail.models.find import ZOO
from srlongtail.models.sr_model import SRModel, bicubic
from srlongtail.plots.style import PAGE
from srlongtail.results import read_record, read_table
from srlongtail.stats import Interval, holm, mean_interval, mean_p_value

GRID = ZOO / "skip-static-learnable.csv"
CAPACITY = ZOO / "capacity.csv"
COLUMNS = ("claim", "measure", "estimate", "low", "high", "n", "verdict")
ENOUGH_IMAGES = 10
ENOUGH_SEEDS = 3
LEVEL = 0.05
EXPONENTIAL = 100 * TAIL * (1 - np.log(TAIL))  # percent of the total that the top tenth holds
SMALL_GAP_DB = 0.1  # what a band loses to over-fitting at most without being called over-fitted
SMALL_GAP = 100 * (1 - 10 ** (-SMALL_GAP_DB / 20))  # the same in percent of the band's error

Verdict = Literal[
    "supported", "contradicted", "undecided at this sample", "too few images", "not measured"
]
_COLORS: dict[Verdict, str] = {
    "supported": "#0072B2",
    "contradicted": "#D55E00",
    "undecided at this sample": "#666666",
    "too few images": "#666666",
    "not measured": "#666666",
}
_KEYS = ["dataset", "image"]


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, what measures it, and what was found.

    Attributes:
        claim: In words.
        measure: What the estimate is, with its unit, and what it is a mean of.
        expected: The value that separates a true claim from a false one.
        above: Whether the claim says that the measure is above this value, or below.
        found: The estimate and its 95% interval; None if nothing was measured.
        n: Number of images or seeds.
        p_value: That of the expected value, two-sided, not corrected.
        needed: Smallest n that gives a verdict.
    """

    claim: str
    measure: str
    expected: float = 0.0
    above: bool = True
    found: Interval | None = None
    n: int = 0
    p_value: float = np.nan
    needed: int = ENOUGH_IMAGES

    @property
    def enough(self) -> bool:
        """Whether the claim was measured on enough images or seeds for a verdict."""
        return self.found is not None and self.n >= self.needed


def judge(claim: Claim, p_value: float) -> Verdict:
    """Return the verdict on a claim.

    The rule: a claim that was not measured, or measured on fewer than `needed` images, gets no
    verdict. Otherwise it is decided if its 95% interval excludes the expected value and its
    p-value, corrected for all claims of the table, is at most 5%. It is supported if the estimate
    lies on the side that the claim says, and contradicted if it lies on the other side. All else
    is undecided, which is no evidence against the claim.

    Args:
        claim: The claim.
        p_value: Its p-value after Holm's correction.

    Example:
        >>> judge(Claim("c", "m", found=Interval(2, 1, 3), n=20), 0.01)
        'supported'
    """
    if claim.found is None:
        return "not measured"
    if not claim.enough:
        return "too few images"
    estimate, low, high, _ = claim.found
    if low <= claim.expected <= high or not p_value <= LEVEL:
        return "undecided at this sample"
    return "supported" if (estimate > claim.expected) == claim.above else "contradicted"


@dataclass(frozen=True)
class Claims:
    """The claims of the paper, judged together.

    Attributes:
        claims: One each.
        images: Data set -> number of images.
        networks: Arm -> names of its networks.
    """

    claims: tuple[Claim, ...]
    images: Mapping[str, int]
    networks: Mapping[str, Sequence[str]]

    def p_values(self) -> list[float]:
        """Return the p-values after Holm's correction; NaN for claims that get no verdict."""
        return holm([c.p_value if c.enough else np.nan for c in self.claims]).tolist()

    def verdicts(self) -> list[Verdict]:
        """Return the verdict on each claim; see `judge`."""
        return [judge(c, p) for c, p in zip(self.claims, self.p_values(), strict=True)]

    def frame(self) -> pd.DataFrame:
        """Return one row a claim, with the columns `COLUMNS`."""
        rows = [
            (c.claim, c.measure, *(c.found or [np.nan] * 3)[:3], c.n, verdict)
            for c, verdict in zip(self.claims, self.verdicts(), strict=True)
        ]
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def settings(self) -> dict[str, Any]:
        """Return the rule, and the p-values that it used."""
        return {
            "networks": {arm: list(names) for arm, names in self.networks.items()},
            "level": LEVEL,
            "enough_images": ENOUGH_IMAGES,
            "enough_seeds": ENOUGH_SEEDS,
            "expected": {c.claim: c.expected for c in self.claims},
            "holm_p_values": dict(
                zip((c.claim for c in self.claims), self.p_values(), strict=True)
            ),
        }

    def message(self) -> str:
        """Return how many claims got which verdict."""
        verdicts = self.verdicts()
        counts = (f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts))
        return f"{len(verdicts)} claims of the paper: {', '.join(counts)}"

    def caption(self) -> str:
        """Return what the figure shows, and what its numbers cannot say."""
        data = ", ".join(f"{name} ({count})" for name, count in self.images.items())
        return (
            f"{self.message()}. Each point is an estimate with its 95% interval, on an axis of its "
            f"own; the gray line is the value that a claim must exceed (for under-fitting, stay "
            f"below). Images: {data}. A verdict needs an interval that excludes this value and a "
            f"p-value of at most {LEVEL:.0%} after Holm's correction for the whole table; "
            f"{ENOUGH_IMAGES} images, or {ENOUGH_SEEDS} seeds of each arm for what is said about "
            f"training. {' '.join(self.limits())}"
        )

    def limits(self) -> tuple[str, ...]:
        """Return what these numbers cannot say, point by point."""
        return (
            "Intervals over images hold for these networks, not for others trained in the same "
            "way.",
            "At the output, L1 gives every tenth of the pixels 10% of the gradient by definition, "
            "so the gradient is measured in the parameters, at the end of training. A head whose "
            "gradient is larger than the tail's is easily found, because the head has five times "
            "as many pixels: below a ratio of 5 (ln 1.61), a pixel of the tail sends more than one "
            "of the head.",
            f"A band counts as over-fitted if its error on unseen images exceeds that on seen ones "
            f"by more than {SMALL_GAP:.2f}%, which costs it {SMALL_GAP_DB:g} dB, and otherwise as "
            f"under-fitted: what error it has, the training images have, too. This depends on the "
            f"number of training images.",
            LUCK_BETWEEN_NETWORKS,
            "FPL differs from the baseline in its bicubic skip, too, and what sets it apart from "
            "the baseline is not due to its weights alone.",
            "A long tail is no fault: a better model has a higher Gini, because it removes error "
            "from the easy pixels first.",
            "More pixels used are not pixels better used.",
            "Undecided is not refuted.",
        )


def compute(
    base: Sequence[SRModel],
    skip: Sequence[SRModel],
    fpl: Sequence[SRModel],
    datasets: Sequence[ImageSet],
    *,
    grid: str | os.PathLike[str] | None = None,
    capacity: str | os.PathLike[str] | None = None,
    fitting: Sequence[str | os.PathLike[str]] = (),
    windows: int = TENTHS,
    skip_bad: bool = False,
) -> Claims:
    """Measure each claim on networks of three arms; several networks of an arm are seeds.

    An image is read once, and restored once by each network. Under `torchrun` the processes share
    the images out, and each gets the whole result.

    Args:
        base: Networks without skip, trained with L1.
        skip: Networks that add bicubic, trained with L1.
        fpl: Networks trained with FPL.
        datasets: The images, all of the networks' scale.
        grid: Table of `ablate skip-static-learnable`, for the claims about training. Without it,
            they are measured on the given networks: over seeds if `skip` and `fpl` have at least
            three networks each, paired in the given order, otherwise over images.
        capacity: Table of a grid of networks of several sizes, for the claim about them: the
            columns of `run_grid` and `parameters`, the size of the network.
        fitting: Folders with the `fitting.csv` of `srlongtail fitting`, such as for runs on few and
            on many images; each has a row for the head and one for the tail.
        windows: Number of windows of each image whose attribution is measured, one of each of as
            many bands of difficulty; fewer where an image is too small.
        skip_bad: Leave out images that are too small to be scored, with a warning.

    Raises:
        InputError: An arm without networks, arms of different numbers of networks, other scales
            than the images', or a table that lacks what is needed.
    """
    arms = {"base": base, "skip": skip, "fpl": fpl}
    for arm, models in arms.items():
        if not models:
            raise InputError(f"{arm}: no network, expected one or more")
    counts = {arm: len(models) for arm, models in arms.items()}
    if len(set(counts.values())) > 1:
        given = ", ".join(f"{arm} of {count}" for arm, count in counts.items())
        raise InputError(f"{given} networks, expected as many of each, in the same order of seeds")
    check_scales([*base, *skip, *fpl], datasets)
    # Tables are read first: a wrong one is told before anything is measured.
    fitted = _from_fitting([Path(folder) for folder in fitting])
    sizes = _smaller_networks(None if capacity is None else Path(capacity))
    training = None if grid is None else _from_grid(Path(grid))
    datasets = [scorable(data, PAPER, skip_bad=skip_bad) for data in datasets]
    measure = partial(_measure, base=base, skip=skip, fpl=fpl, windows=windows)
    found = [tables for data in datasets for tables in map_pairs(measure, data)]
    tables = _Tables(*(pd.concat(parts, ignore_index=True) for parts in zip(*found, strict=True)))
    claims = (
        _long_tailed(tables.tails),
        _gain_by_difficulty(tables.tenths),
        _gradients(tables.gradients),
        *fitted,
        *(training or _from_models(tables.bands, tables.scores, len(fpl) >= ENOUGH_SEEDS)),
        sizes,
        _pixels_used(tables.windows, windows),
    )
    return Claims(
        claims,
        {data.name: len(data) for data in datasets},
        {arm: [model.name for model in models] for arm, models in arms.items()},
    )


def draw(result: Claims) -> Figure:
    """Draw one row a claim: estimate and interval on a strip of their own, and the verdict."""
    count = len(result.claims)
    figure = Figure(figsize=(PAGE, 0.4 + 0.5 * count))
    figure.suptitle(result.message(), fontsize=8)
    axes = figure.subplots(count, 3, width_ratios=(3.4, 2.4, 1.3), squeeze=False)
    for claim, verdict, (text, strip, word) in zip(
        result.claims, result.verdicts(), axes, strict=True
    ):
        color = _COLORS[verdict]
        for ax in (text, word):
            ax.set_axis_off()
        measure = textwrap.fill(claim.measure, 62)
        text.text(0, 1, claim.claim, va="top", fontsize=7, weight="bold")
        text.text(0, 0.6, measure, va="top", fontsize=6, color="#444444")
        shown = f"{verdict}\n(n = {claim.n})" if claim.n else verdict
        word.text(0, 0.5, shown, va="center", fontsize=7, color=color)
        strip.spines["left"].set_visible(False)
        strip.set(yticks=[], ylim=(-1, 1))
        if claim.found is None:
            strip.set_axis_off()
            continue
        estimate, low, high, _ = claim.found
        strip.axvline(claim.expected, color="0.6", linewidth=1)
        strip.hlines(0, low, high, color=color, linewidth=1.5)
        strip.plot(estimate, 0, "o", color=color, markersize=4)
        strip.margins(x=0.12)
        strip.locator_params(axis="x", nbins=4)
    return figure


def paired(
    claim: str, measure: str, values: ArrayLike, *, expected: float = 0.0, needed: int
) -> Claim:
    """Return a claim that a mean over images or seeds exceeds a value.

    Example:
        >>> paired("c", "m", [1.0, 2.0, 3.0], needed=3).n
        3
    """
    array = np.asarray(values, dtype=np.float64)
    found, p_value = mean_interval(array), mean_p_value(array, expected)
    return Claim(claim, measure, expected, True, found, array.size, p_value, needed)


def weakest(parts: Sequence[Claim]) -> Claim:
    """Return the part of a claim that is furthest from being supported.

    A claim that says several things holds only if each of them does, so the weakest part decides
    and needs no correction to support the claim. To contradict it, any part would do: the p-value
    is then multiplied by their number.

    Example:
        >>> strong = Claim("c", "strong", found=Interval(2, 1, 3), p_value=0.01)
        >>> weak = Claim("c", "weak", found=Interval(-1, -2, 0), p_value=0.05)
        >>> weakest([strong, weak]).measure, weakest([strong, weak]).p_value
        ('weak', 0.1)
    """

    def support(part: Claim) -> float:
        assert part.found is not None
        return (part.found.estimate > part.expected) - part.p_value * np.sign(
            part.found.estimate - part.expected
        )

    part = min(parts, key=support)
    assert part.found is not None
    if part.found.estimate > part.expected:
        return part
    return replace(part, p_value=min(1.0, len(parts) * part.p_value))


class _Tables(NamedTuple):
    """What is measured on each image; all with the columns `_KEYS`.

    `arm` is "bicubic", "base", "skip" or "fpl", and `seed` counts the networks of an arm.
    """

    tails: pd.DataFrame  # of bicubic: l1_share
    tenths: pd.DataFrame  # arm, seed, tenth, ad_levels
    bands: pd.DataFrame  # arm, seed, band, ad_levels
    scores: pd.DataFrame  # arm, seed, psnr_db
    gradients: pd.DataFrame  # of the baselines: head_norm, tail_norm
    windows: pd.DataFrame  # seed, row, col, model, n_eff, reliable


def _measure(
    pair: ImagePair,
    base: Sequence[SRModel],
    skip: Sequence[SRModel],
    fpl: Sequence[SRModel],
    windows: int,
) -> list[_Tables]:
    arms = {"bicubic": [bicubic(pair.scale)], "base": base, "skip": skip, "fpl": fpl}
    places, outputs, tiled = [], {}, False
    for arm, models in arms.items():
        for seed, model in enumerate(models):
            name = f"{arm} {seed}"
            places.append((name, arm, seed))
            tile = PAPER.tiling(model.architecture, pair.dataset)
            tiled |= tile is not None
            outputs[name] = model.restore_pair(pair, tile, clamp=False)
    known = pd.DataFrame(places, columns=["model", "arm", "seed"])
    images = {name: output.clamp(0, 1) for name, output in outputs.items()}
    bands = measure_bands({name: _returning(sr) for name, sr in images.items()}, [pair])
    scores = [
        (name, pair.dataset, pair.name, PAPER.score(sr, pair.hr, pair.scale).psnr_db)
        for name, sr in images.items()
    ]
    enlarged = images["bicubic 0"]
    gradients = [
        parameter_gradients(model, PixelLoss(), [pair], group_of=lambda name: "weights").bands
        for model in base
    ]
    hard = difficulty(pair.hr, enlarged, "bicubic_ad")
    bands_of_windows = min(windows, len(grid_windows(*hard.shape)))
    attributed = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AttributionWarning)  # their number is told in the row
        for seed, (one, other) in enumerate(zip(base, fpl, strict=True)):
            whole = {arm: _returning(outputs[f"{arm} {seed}"]) for arm in ("base", "fpl")}
            found = compare_by_band(
                {"base": one, "fpl": other},
                [pair],
                _returning(hard),
                bands=bands_of_windows,
                outputs=None if tiled else whole,
            )
            attributed.append(found.frame().assign(dataset=pair.dataset, seed=seed))
    return [
        _Tables(
            tails=measure_tail({"bicubic": _returning(enlarged)}, [pair]).frame(),
            tenths=bands.frame().merge(known, on="model"),
            bands=bands.head_and_tail().merge(known, on="model"),
            scores=pd.DataFrame(scores, columns=["model", *_KEYS, "psnr_db"]).merge(known),
            gradients=pd.concat(gradients),
            windows=pd.concat(attributed),
        )
    ]


def _returning(image: Tensor) -> Callable[[Any], Tensor]:
    return lambda _: image


def _long_tailed(tails: pd.DataFrame) -> Claim:
    return paired(
        "Errors are long-tailed",
        f"top tenth's share of bicubic's L1 (%), images; exponential: {EXPONENTIAL:.1f}",
        100 * tails["l1_share"],
        expected=EXPONENTIAL,
        needed=ENOUGH_IMAGES,
    )


def _gain_by_difficulty(tenths: pd.DataFrame) -> Claim:
    error = tenths.assign(bicubic=tenths["arm"] == "bicubic")
    means = error.groupby([*_KEYS, "tenth", "bicubic"])["ad_levels"].mean().unstack("bicubic")
    gains = (means[True] - means[False]).unstack("tenth")
    return paired(
        "Networks gain most at high frequencies",
        "gain over bicubic in AD (levels), hardest minus easiest tenth by HR gradient, images",
        gains[TENTHS] - gains[1],
        needed=ENOUGH_IMAGES,
    )


def _gradients(table: pd.DataFrame) -> Claim:
    rows = table[table["group"] == "all"]
    ratios = np.log(rows["head_norm"] / rows["tail_norm"]).groupby([rows[k] for k in _KEYS]).mean()
    return paired(
        "Gradients come from the easy majority",
        "ln of the norm of L1's parameter gradient in the head over that in the tail, images "
        "(1.61: alike per pixel)",
        ratios,
        needed=ENOUGH_IMAGES,
    )


class _Fit(NamedTuple):
    """The rows of the last iteration by band, and what the networks were trained on, in words."""

    table: pd.DataFrame
    trained_on: str


def _from_fitting(folders: Sequence[Path]) -> list[Claim]:
    """Return both claims about over-fitting, for each folder; unmeasured ones where there is none.

    The rows of several folders bear their names.
    """
    fits: list[_Fit | None] = [_read_fitting(folder) for folder in folders]
    names = [folder.name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    labels = [f", {name}" for name in names] if len(names) > 1 else [""]
    return [
        _fitted(fit, band, label)
        for fit, label in zip(fits or [None], labels, strict=True)
        for band in ("head", "tail")
    ]


def _fitted(fit: _Fit | None, band: str, name: str = "") -> Claim:
    head = band == "head"
    claim = f"The {band} is {'over' if head else 'under'}-fitted{name}"
    limit = "above" if head else "below"
    measure = (
        f"error on unseen minus seen images (% of the error) in the {band}, images; {limit} "
        f"{SMALL_GAP:.2f}%"
    )
    if fit is None:
        return Claim(claim, measure, SMALL_GAP, head)
    row = fit.table.loc[band]
    found = Interval(row["gap_percent"], row["low_percent"], row["high_percent"])
    p_value = _p_value_of_interval(found, SMALL_GAP, int(row["images"]))
    measure += f"; {fit.trained_on}"
    return Claim(claim, measure, SMALL_GAP, head, found, int(row["images"]), p_value)


def _p_value_of_interval(found: Interval, expected: float, n: int) -> float:
    """The p-value of Student's t whose 95% interval ends as this one does, towards `expected`."""
    from scipy.stats import t as student

    end = found.low if found.estimate > expected else found.high
    if n < 2 or found.estimate == end:
        return float(found.estimate == expected) if n > 1 else np.nan
    error = abs(found.estimate - end) / student.ppf(0.975, n - 1)
    return float(2 * student.sf(abs(found.estimate - expected) / error, n - 1))


def _read_fitting(folder: Path) -> _Fit:
    path, record = folder / "fitting.csv", folder / "fitting.json"
    if not path.is_file():
        raise InputError(f"{folder}: no fitting.csv, expected what srlongtail fitting wrote")
    numbers = ["iteration", "images", "gap_percent", "low_percent", "high_percent"]
    table = read_table(path, "srlongtail fitting", numbers=numbers, texts=["band"])
    if not {"head", "tail"} <= set(table["band"]):
        raise InputError(f"{path}: without head or tail, expected a table of 'srlongtail fitting'")
    last = table["iteration"].max()
    trained_on = f"runs of {last:,} iterations"
    if record.is_file():
        settings = read_record(record).get("settings")
        halves = settings.get("images_of_halves") if isinstance(settings, dict) else None
        if not isinstance(halves, list) or len(halves) != 2:
            raise InputError(f"{record}: without images_of_halves, expected a record of fitting")
        trained_on += f" on {halves[0]} and {halves[1]} images"
    return _Fit(table[table["iteration"] == last].set_index("band"), trained_on)


def _fpl_minus_skip(path: Path, measures: Sequence[str], by: Sequence[str]) -> pd.DataFrame:
    """Return how much FPL changes the means over data sets of a grid's table, by seed and more."""
    runs = pd.read_csv(path)
    needed = {"skip", "static", "learnable", "iterations", *measures, *by}
    if not needed <= set(runs.columns):
        missing = ", ".join(sorted(needed - set(runs.columns)))
        raise InputError(f"{path}: no columns {missing}, expected a table of srlongtail ablate")
    with_skip, weighted = runs["skip"], runs["static"] & runs["learnable"]
    arms = {
        "skip": with_skip & ~runs["static"] & ~runs["learnable"],
        "FPL": with_skip & weighted,
    }
    means = []
    for arm, rows in arms.items():
        if not rows.any():
            raise InputError(f"{path}: no rows of {arm}, expected networks with the skip and FPL")
        means.append(runs[rows].groupby(list(by))[list(measures)].mean())
    return (means[1] - means[0]).dropna().assign(iterations=runs["iterations"].max())


def _from_grid(path: Path) -> list[Claim]:
    """Both claims about training from the arms with the skip, paired by seed."""
    changes = _fpl_minus_skip(path, ["psnr_db", "head_ad_levels", "tail_ad_levels"], ["seed"])
    return _training(
        changes["head_ad_levels"],
        changes["tail_ad_levels"],
        changes["psnr_db"],
        kind=f"seeds of {changes['iterations'].max():,} iterations",
        ranking="bicubic's AD",
        needed=ENOUGH_SEEDS,
    )


def _smaller_networks(path: Path | None) -> Claim:
    """The claim about the size of networks, from the slope of FPL's gain in each seed."""
    claim = "Smaller networks gain more from FPL"
    if path is None:
        return Claim(claim, "no table of networks of several sizes")
    changes = _fpl_minus_skip(path, ["psnr_db"], ["seed", "parameters"]).reset_index()
    slopes = [
        np.polyfit(np.log2(sizes["parameters"]), sizes["psnr_db"], 1)[0]
        for _, sizes in changes.groupby("seed")
        if sizes["parameters"].nunique() > 1
    ]
    if not slopes:
        raise InputError(f"{path}: no seed with several sizes, expected skip and FPL of two sizes")
    smallest, largest = changes["parameters"].min(), changes["parameters"].max()
    return paired(
        claim,
        f"fall of the gain in PSNR, FPL minus skip, per doubling of the parameters (dB), seeds of "
        f"{changes['iterations'].max():,} iterations, {smallest:,} to {largest:,} parameters",
        -np.array(slopes),
        needed=ENOUGH_SEEDS,
    )


def _from_models(bands: pd.DataFrame, scores: pd.DataFrame, seeds: bool) -> list[Claim]:
    """Both claims about training: over seeds, or over images for these networks alone."""
    rows = [
        bands.rename(columns={"band": "what", "ad_levels": "value"}),
        scores.rename(columns={"psnr_db": "value"}).assign(what="psnr"),
    ]
    table = pd.concat(rows)
    unit = ["seed"] if seeds else _KEYS
    means = table.groupby(["arm", "what", *unit])["value"].mean()
    changes = {what: means["fpl"][what] - means["skip"][what] for what in ("head", "tail", "psnr")}
    kind, needed = ("seeds", ENOUGH_SEEDS) if seeds else ("images, these networks", ENOUGH_IMAGES)
    return _training(
        changes["head"],
        changes["tail"],
        changes["psnr"],
        kind=kind,
        ranking="HR gradient",
        needed=needed,
    )


def _training(
    head: ArrayLike, tail: ArrayLike, psnr: ArrayLike, *, kind: str, ranking: str, needed: int
) -> list[Claim]:
    subject = "In these networks, " if "these" in kind else ""
    claim = f"{subject}FPL shifts error from tail to head"
    bands = f"{kind}; pixels ranked by {ranking}"
    rise = paired(
        claim, f"rise of AD in the head (levels), FPL minus skip, {bands}", head, needed=needed
    )
    fall = paired(
        claim,
        f"fall of AD in the tail (levels), skip minus FPL, {bands}",
        -np.asarray(tail),
        needed=needed,
    )
    gain = paired(
        f"{subject}FPL raises PSNR beyond the skip",
        f"PSNR (dB), FPL minus skip, {kind}",
        psnr,
        needed=needed,
    )
    return [weakest([rise, fall]), gain]


def _pixels_used(table: pd.DataFrame, windows: int) -> Claim:
    places = [*_KEYS, "seed", "row", "col"]
    both = table.pivot(index=places, columns="model", values="n_eff")
    reliable = table.groupby(places)["reliable"].all()
    gains = (both["fpl"] - both["base"])[reliable].groupby(_KEYS).mean()
    claim = "FPL draws on more pixels"
    measure = f"effective LR pixels (n_eff) over {windows} windows, FPL minus baseline, images"
    if not reliable.all():
        measure += f"; {(~reliable).sum()} of {len(reliable)} windows left out, maps not reliable"
    if not len(gains):
        return Claim(claim, measure)
    return paired(claim, measure, gains, needed=ENOUGH_IMAGES)
