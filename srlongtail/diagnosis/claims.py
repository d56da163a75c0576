"""Whether the paper's claims hold for given networks and images: estimate, interval, verdict."""

import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from srlongtail.attribution.windows import compare_by_band
from srlongtail.errors import InputError
from srlongtail.evaluation import check_scales, evaluate
from srlongtail.focal.pixel_loss import PixelLoss
from srlongtail.image.dataset import ImagePair, ImageSet
from srlongtail.image.resample import upsample_bicubic
from srlongtail.longtail.bands import measure_bands
from srlongtail.longtail.gradients import parameter_gradients
from srlongtail.longtail.tail import TAIL, TENTHS, difficulty, measure_tail
from srlongtail.models.checkpoint import ZOO
from srlongtail.models.sr_model import SRModel, bicubic
from srlongtail.plots.style import PAGE
from srlongtail.stats import Interval, holm, mean_interval, mean_p_value

GRID = ZOO / "skip-static-learnable.csv"
COLUMNS = ("claim", "measure", "estimate", "low", "high", "n", "verdict")
ENOUGH_IMAGES = 10
ENOUGH_SEEDS = 3
LEVEL = 0.05
EXPONENTIAL = 100 * TAIL * (1 - np.log(TAIL))  # percent of the total that the top tenth holds
SMALL_GAP = 1.0  # percent of the error; a gap below it counts as no over-fitting

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
        p_values = (None if np.isnan(p) else p for p in self.p_values())
        return {
            "networks": {arm: list(names) for arm, names in self.networks.items()},
            "level": LEVEL,
            "enough_images": ENOUGH_IMAGES,
            "enough_seeds": ENOUGH_SEEDS,
            "expected": {c.claim: c.expected for c in self.claims},
            "holm_p_values": dict(zip((c.claim for c in self.claims), p_values, strict=True)),
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
            f"training. {self.limits()}"
        )

    def limits(self) -> str:
        """Return what these numbers cannot say."""
        return (
            "Intervals over images hold for these networks, not for others trained in the same "
            "way. At the output, L1 gives every tenth of the pixels 10% of the gradient by "
            "definition, so the gradient is measured in the parameters, at the end of training; "
            "the head has five times as many pixels as the tail, so a ratio of norms below 5 "
            "(ln 1.61) means that a pixel of the tail sends more than one of the head. "
            "FPL differs from the baseline in "
            "its bicubic skip, too, and what sets it apart from the baseline is not due to its "
            "weights alone. A long tail is no fault: a better model has a higher Gini, because it "
            "removes error from the easy pixels first. More pixels used are not pixels better "
            "used. Undecided is not refuted."
        )


def compute(
    base: Sequence[SRModel],
    skip: Sequence[SRModel],
    fpl: Sequence[SRModel],
    datasets: Sequence[ImageSet],
    *,
    grid: str | os.PathLike[str] | None = None,
    fitting: str | os.PathLike[str] | None = None,
    windows: int = TENTHS,
) -> Claims:
    """Measure each claim on networks of three arms; several networks of an arm are seeds.

    Args:
        base: Networks without skip, trained with L1.
        skip: Networks that add bicubic, trained with L1.
        fpl: Networks trained with FPL.
        datasets: The images, all of the networks' scale.
        grid: Table of `ablate skip-static-learnable`, for the claims about training. Without it,
            they are measured on the given networks: over seeds if `skip` and `fpl` have at least
            three networks each, paired in the given order, otherwise over images.
        fitting: Folder with the `fitting.csv` of `srlongtail fitting`.
        windows: Number of windows of each image whose attribution is measured, one of each of as
            many bands of difficulty.

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
    seeds = len(fpl) >= ENOUGH_SEEDS
    everyone = [*base, *skip, *fpl]
    check_scales(everyone, datasets)
    upsampled = bicubic(datasets[0].scale)
    named = {f"{arm} {i}": m for arm, models in arms.items() for i, m in enumerate(models)}
    places = {f"{arm} {i}": (arm, i) for arm, models in arms.items() for i in range(len(models))}
    tables = [measure_bands({"bicubic": upsampled, **named}, data) for data in datasets]
    tenths = pd.concat([table.frame() for table in tables])
    bands = pd.concat([table.head_and_tail() for table in tables])
    if grid is not None:
        training = _from_grid(Path(grid))
    else:
        with_skip = {name: m for name, m in named.items() if places[name][0] != "base"}
        training = _from_models(bands, _scores(with_skip, datasets), places, seeds)
    fit = None if fitting is None else _read_fitting(Path(fitting))
    claims = (
        _long_tailed(upsampled, datasets),
        _gain_by_difficulty(tenths),
        _gradients(base, datasets),
        _fitted(fit, "head"),
        _fitted(fit, "tail"),
        *training,
        Claim("Smaller networks gain more from FPL", "no table of networks of several sizes"),
        _pixels_used(base, fpl, datasets, windows),
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


def _long_tailed(upsampled: SRModel, datasets: Sequence[ImageSet]) -> Claim:
    shares = pd.concat([measure_tail([upsampled], data).frame() for data in datasets])["l1_share"]
    return paired(
        "Errors are long-tailed",
        f"top tenth's share of bicubic's L1 (%), images; exponential: {EXPONENTIAL:.1f}",
        100 * shares,
        expected=EXPONENTIAL,
        needed=ENOUGH_IMAGES,
    )


def _gain_by_difficulty(tenths: pd.DataFrame) -> Claim:
    error = tenths.assign(bicubic=tenths["model"] == "bicubic")
    means = error.groupby([*_KEYS, "tenth", "bicubic"])["ad_levels"].mean().unstack("bicubic")
    gains = (means[True] - means[False]).unstack("tenth")
    return paired(
        "Networks gain most at high frequencies",
        "gain over bicubic in AD (levels), hardest minus easiest tenth by HR gradient, images",
        gains[TENTHS] - gains[1],
        needed=ENOUGH_IMAGES,
    )


def _gradients(base: Sequence[SRModel], datasets: Sequence[ImageSet]) -> Claim:
    tables = [
        parameter_gradients(model, PixelLoss(), data, group_of=lambda name: "all weights").bands
        for model in base
        for data in datasets
    ]
    rows = pd.concat(tables)
    rows = rows[rows["group"] == "all"]
    ratios = np.log(rows["head_norm"] / rows["tail_norm"]).groupby([rows[k] for k in _KEYS]).mean()
    return paired(
        "Gradients come from the easy majority",
        "ln of the norm of L1's parameter gradient in the head over that in the tail, images",
        ratios,
        needed=ENOUGH_IMAGES,
    )


def _fitted(table: pd.DataFrame | None, band: str) -> Claim:
    head = band == "head"
    claim = "The head is over-fitted" if head else "The tail is under-fitted"
    expected = 0.0 if head else SMALL_GAP
    measure = f"error on unseen minus seen images (% of the error) in the {band}, images"
    if not head:
        measure += f"; at most {SMALL_GAP:g}%"
    if table is None:
        return Claim(claim, measure, expected, head)
    row = table.loc[band]
    found = Interval(row["gap_percent"], row["low_percent"], row["high_percent"])
    p_value = _p_value_of_interval(found, expected, int(row["images"]))
    return Claim(claim, measure, expected, head, found, int(row["images"]), p_value)


def _p_value_of_interval(found: Interval, expected: float, n: int) -> float:
    """The p-value of Student's t whose 95% interval ends as this one does, towards `expected`."""
    from scipy.stats import t as student

    end = found.low if found.estimate > expected else found.high
    if n < 2 or found.estimate == end:
        return float(found.estimate == expected) if n > 1 else np.nan
    error = abs(found.estimate - end) / student.ppf(0.975, n - 1)
    return float(2 * student.sf(abs(found.estimate - expected) / error, n - 1))


def _read_fitting(folder: Path) -> pd.DataFrame:
    """The rows of the last iteration, by band."""
    path = folder / "fitting.csv"
    if not path.is_file():
        raise InputError(f"{folder}: no fitting.csv, expected what srlongtail fitting wrote")
    table = pd.read_csv(path)
    needed = {"iteration", "band", "images", "gap_percent", "low_percent", "high_percent"}
    if not needed <= set(table.columns) or not {"head", "tail"} <= set(table["band"]):
        raise InputError(
            f"{path}: columns or bands missing, expected what srlongtail fitting wrote"
        )
    return table[table["iteration"] == table["iteration"].max()].set_index("band")


def _from_grid(path: Path) -> list[Claim]:
    """Both claims about training from the arms with the skip, paired by seed."""
    runs = pd.read_csv(path)
    measures = ["psnr_db", "head_ad_levels", "tail_ad_levels"]
    means = runs.groupby(["arm", "seed"])[measures].mean()
    arms = {"skip", "skip-static-learnable"}
    if not arms <= set(runs["arm"]):
        raise InputError(f"{path}: arms {sorted(set(runs['arm']))}, expected {sorted(arms)}")
    changes = (means.loc["skip-static-learnable"] - means.loc["skip"]).dropna()
    unit = f"seeds of {runs['iterations'].max():,} iterations"
    return _training(
        changes["head_ad_levels"], changes["tail_ad_levels"], changes["psnr_db"], unit, ENOUGH_SEEDS
    )


def _scores(named: Mapping[str, SRModel], datasets: Sequence[ImageSet]) -> pd.DataFrame:
    """PSNR of the networks, one row a model and image."""
    return pd.concat(
        [evaluate([model], datasets).assign(model=name) for name, model in named.items()]
    )


def _from_models(
    bands: pd.DataFrame,
    scores: pd.DataFrame,
    places: Mapping[str, tuple[str, int]],
    seeds: bool,
) -> list[Claim]:
    """Both claims about training: over seeds, or over images for these networks alone."""
    rows = [
        bands.rename(columns={"band": "what", "ad_levels": "value"}),
        scores.rename(columns={"psnr_db": "value"}).assign(what="psnr"),
    ]
    table = pd.concat(rows)[[*_KEYS, "model", "what", "value"]]
    table = table[table["model"].isin(places)]  # without bicubic
    arms, numbers = zip(*table["model"].map(places), strict=True)
    table = table.assign(arm=arms, seed=numbers)
    unit = ["seed"] if seeds else _KEYS
    means = table.groupby(["arm", "what", *unit])["value"].mean()
    changes = {what: means["fpl"][what] - means["skip"][what] for what in ("head", "tail", "psnr")}
    kind, needed = ("seeds", ENOUGH_SEEDS) if seeds else ("images, these networks", ENOUGH_IMAGES)
    return _training(changes["head"], changes["tail"], changes["psnr"], kind, needed)


def _training(
    head: ArrayLike, tail: ArrayLike, psnr: ArrayLike, kind: str, needed: int
) -> list[Claim]:
    subject = "In these networks, " if "these" in kind else ""
    claim = f"{subject}FPL shifts error from tail to head"
    rise = paired(
        claim, f"rise of AD in the head (levels), FPL minus skip, {kind}", head, needed=needed
    )
    fall = paired(
        claim,
        f"fall of AD in the tail (levels), skip minus FPL, {kind}",
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


def _bicubic_difference(pair: ImagePair) -> Any:
    return difficulty(pair.hr, upsample_bicubic(pair.lr, pair.scale), "bicubic_ad")


def _pixels_used(
    base: Sequence[SRModel], fpl: Sequence[SRModel], datasets: Sequence[ImageSet], windows: int
) -> Claim:
    differences = []
    for one, other in zip(base, fpl, strict=True):
        for data in datasets:
            found = compare_by_band(
                {"base": one, "fpl": other}, data, _bicubic_difference, bands=windows
            )
            means = found.frame().groupby(["image", "model"])["n_eff"].mean().unstack("model")
            gains = (means["fpl"] - means["base"]).rename("gain").reset_index()
            differences.append(gains.assign(dataset=data.name))
    gains = pd.concat(differences).groupby(_KEYS)["gain"].mean()
    return paired(
        "FPL draws on more pixels",
        f"effective LR pixels (n_eff) over {windows} windows, FPL minus baseline, images",
        gains,
        needed=ENOUGH_IMAGES,
    )
