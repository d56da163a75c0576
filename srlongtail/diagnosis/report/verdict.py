"""The verdict on a network in three sentences: its number, where it fails, and what is systematic.

The rule for the third: an error is called systematic where the mean over images exceeds the limit
below and its 95% interval excludes 0. Of a single image there is no interval, and the limit alone
counts. A healthy network stays far below these limits, since LR tells all five quantities.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from srlongtail.diagnosis.report.survey import Survey
from srlongtail.longtail.systematic import SystematicTable
from srlongtail.metrics import mean_psnr
from srlongtail.stats import Interval, mean_interval, sign_test
from srlongtail.studies.comparison import ENOUGH
from srlongtail.studies.writing import counted, listed

OFFSET = 1.0  # levels of 255
CONTRAST = 0.02  # that SR's contrast over HR's departs from 1
SHIFT = 0.05  # SR pixels
BLUR = 0.5  # SR pixels squared: the variance of a Gaussian of 0.7 pixels
NOISE = 0.25  # levels squared: noise of half a level
TOO_FAR = -10.0  # dB over bicubic, below which images are too unlike HR to tell what is wrong

_CHANNELS = ("red", "green", "blue")

Kind = Literal["color", "contrast", "shift", "blur", "sharpening", "noise"]


@dataclass(frozen=True)
class Symptom:
    """A systematic error.

    Attributes:
        kind: Of error.
        short: In a few words.
        text: With numbers and intervals.
    """

    kind: Kind
    short: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """What is said of a network.

    Attributes:
        model: Its name.
        headline: In a line.
        sentences: Three, with numbers and intervals.
        symptoms: The systematic errors found.
    """

    model: str
    headline: str
    sentences: tuple[str, str, str]
    symptoms: tuple[Symptom, ...]


def judge(survey: Survey, model: str) -> Verdict:
    """Return the verdict on a network."""
    label = survey.subjects[model].label
    gains = survey.gains(model)
    lost = len(gains) > 0 and gains.mean() < TOO_FAR
    found = () if lost else symptoms(survey.systematic, model)
    images = len(survey.scores[survey.scores["model"] == model])
    perfect = sum(name == model for name, _, _ in survey.perfect)
    if perfect == images:
        headline = f"{label} restores all images without any error"
    else:
        wrong = listed([symptom.short for symptom in found]) if found else ""
        gain = mean_interval(gains)
        clear = gain.low > 0 or gain.high < 0
        if clear or images < ENOUGH:
            side = "above" if gain.estimate >= 0 else "below"
            few = "" if clear else f" on {counted(images, 'image')}, too few for a verdict"
            over = f"{label} is {abs(gain.estimate):.2f} dB {side} bicubic{few}"
        else:
            over = f"{label} cannot be told from bicubic ({_number(gain.estimate, '+.2f')} dB)"
        beside = (
            f", {'but' if clear else 'and is'} {wrong}" if wrong else ", without systematic error"
        )
        beside = ", far from HR" if lost else beside
        headline = over + beside
    sentences = (
        _score(survey, model, images, perfect),
        _where(survey, model) if perfect < images else "There is no error to be placed.",
        _systematic(survey, model, found, lost) if perfect < images else _too_good(label),
    )
    return Verdict(model, headline, sentences, found)


def symptoms(table: SystematicTable, model: str) -> tuple[Symptom, ...]:
    """Return the systematic errors of a model; see the rule at the top of this module."""
    if not (table.rows["model"] == model).any():
        return ()
    found = []
    colors = {c: table.mean(model, f"offset_{c}") for c in _CHANNELS}
    if any(_exceeds(mean, OFFSET) for mean in colors.values()):
        share = table.mean(model, "offset_share").estimate
        offsets = ", ".join(f"{color} {within(mean, '+.1f')}" for color, mean in colors.items())
        text = f"colors are off by {offsets} levels, which is {share:.0%} of the squared error"
        found.append(Symptom("color", "biased in color", text))
    contrasts = {c: table.mean(model, f"contrast_{c}") for c in _CHANNELS}
    changes = [_moved(mean, -1) for mean in contrasts.values()]
    if any(_exceeds(change, CONTRAST) for change in changes):
        largest = max((change.estimate for change in changes), key=abs)
        ratios = ", ".join(f"{color} {within(mean, '.2f')}" for color, mean in contrasts.items())
        word = "high" if largest > 0 else "low"
        text = f"contrast is {ratios} times HR's"
        found.append(Symptom("contrast", f"{word} in contrast", text))
    down, right = (table.mean(model, f"shift_{axis}") for axis in ("down", "right"))
    if _exceeds(down, SHIFT) or _exceeds(right, SHIFT):
        length = float(np.hypot(down.estimate, right.estimate))
        text = (
            f"images lie {within(down, '+.2f')} pixels below and {within(right, '+.2f')} pixels to "
            f"the right of HR"
        )
        found.append(Symptom("shift", f"shifted by {length:.2f} pixels", text))
    blur = table.mean(model, "blur")
    if _exceeds(blur, BLUR):
        kind: Kind = "blur" if blur.estimate > 0 else "sharpening"
        sigma = within(_root(blur), ".2f")
        word, than = ("blurred", "as by") if kind == "blur" else ("sharpened", "as by removing")
        text = f"images are {word}, {than} a Gaussian of sigma {sigma} pixels"
        found.append(Symptom(kind, word, text))
    noise = table.mean(model, "noise")
    if noise.estimate > 0 and _exceeds(noise, NOISE):
        text = f"smooth areas have noise of {within(_root(noise), '.1f')} levels beyond HR's own"
        found.append(Symptom("noise", "noisy", text))
    return tuple(found)


def within(mean: Interval, spec: str, unit: str = "") -> str:
    """Return an estimate with its interval, as text; of one image there is no interval.

    >>> within(Interval(1.0, 0.5, 1.5), "+.1f", "%")
    '+1.0% (+0.5% to +1.5%)'
    """
    estimate, low, high = (f"{_number(value, spec)}{unit}" for value in mean[:3])
    return estimate if np.isnan(mean.low) else f"{estimate} ({low} to {high})"


def _number(value: float, spec: str) -> str:
    """Return a number as text; what rounds to 0 has no minus."""
    text = format(value, spec)
    return text if float(text) else format(0.0, spec)


def _moved(mean: Interval, by: float) -> Interval:
    return Interval(mean.estimate + by, mean.low + by, mean.high + by, mean.method)


def _root(variance: Interval) -> Interval:
    """Return the deviation of a variance, whose sign is said in words."""
    low, high = sorted(float(np.sqrt(abs(end))) for end in (variance.low, variance.high))
    return Interval(float(np.sqrt(abs(variance.estimate))), low, high)


def _exceeds(mean: Interval, limit: float) -> bool:
    return abs(mean.estimate) >= limit and not mean.low <= 0 <= mean.high


def _score(survey: Survey, model: str, images: int, perfect: int) -> str:
    label = survey.subjects[model].label
    own = survey.scores[survey.scores["model"] == model]
    if perfect == images:
        return f"{label} restores all {images} images without any error, so that PSNR is infinite."
    places = []
    for data, rows in own.groupby("dataset", sort=False):
        values = rows.loc[np.isfinite(rows["paper_psnr_db"]), "paper_psnr_db"]
        if len(values):
            y = mean_psnr(rows["y_psnr_db"])
            places.append(
                f"{within(mean_interval(values), '.2f')} dB on the "
                f"{counted(len(rows), 'image')} of {data} ({y:.2f} dB on luma)"
            )
    gains = survey.gains(model)
    signs = sign_test(gains)
    beside = f", and {counted(perfect, 'image')} without any error" if perfect else ""
    return (
        f"{label} reaches {listed(places)} by the paper's protocol{beside}: "
        f"{within(mean_interval(gains), '+.2f')} dB over bicubic, better on {signs.positive} of "
        f"{counted(len(gains), 'image')} (sign test p = {signs.p_value:.2g})."
    )


def _where(survey: Survey, model: str) -> str:
    def tenth(table: str, number: int) -> Interval:
        rows = getattr(survey.tenths, table)
        row = rows[(rows["model"] == model) & (rows["tenth"] == number)].iloc[0]
        return Interval(row["estimate"], row["low"], row["high"])

    gains = survey.tenths.gains
    gains = gains[gains["model"] == model]
    worse = gains.loc[gains["estimate"] < 0, "tenth"].tolist()
    verb = "it is better than bicubic in all ten tenths on average"
    if len(worse) == len(gains):
        verb = "it is worse than bicubic in all ten tenths on average"
    elif worse:
        verb = f"it is worse than bicubic in tenth{'s' * (len(worse) > 1)} " + listed(
            [str(number) for number in worse]
        )
        verb += " on average"
    share = Interval(*np.clip(tenth("shares", 10)[:3], 0, 100))
    return (
        f"{within(share, '.0f', '%')} of its squared error lies in the hardest tenth "
        f"of the pixels, and {verb}: its gain in absolute difference is "
        f"{within(tenth('gains', 10), '+.2f')} levels in the hardest tenth and "
        f"{within(tenth('gains', 1), '+.2f')} in the easiest."
    )


def _systematic(survey: Survey, model: str, found: Sequence[Symptom], lost: bool) -> str:
    table = survey.systematic
    if lost:
        return "The images are too far from HR to tell systematic errors."
    if not (table.rows["model"] == model).any():
        return "The images are too small to tell systematic errors."
    if found:
        texts = listed([symptom.text for symptom in found])
        return f"The error is partly systematic: {texts}."
    means = [abs(table.mean(model, f"offset_{c}").estimate) for c in _CHANNELS]
    contrasts = [table.mean(model, f"contrast_{c}").estimate for c in _CHANNELS]
    contrast = max(contrasts, key=lambda value: abs(value - 1))
    down, right = (table.mean(model, f"shift_{axis}").estimate for axis in ("down", "right"))
    variances = ((table.mean(model, "blur"), BLUR), (table.mean(model, "noise"), NOISE))
    large = max(means) >= OFFSET or max(abs(down), abs(right)) >= SHIFT
    large |= abs(contrast - 1) >= CONTRAST
    if large or any(mean.estimate >= limit for mean, limit in variances):
        images = int((table.rows["model"] == model).sum())
        return (
            f"These {counted(images, 'image')} do not tell whether the error is systematic: it "
            f"differs too much among them."
        )
    return (
        f"No systematic error was found: colors are within {max(means):.1f} levels of HR, contrast "
        f"is {contrast:.2f} times HR's, the shift is {np.hypot(down, right):.2f} pixels, and the "
        f"images are neither blurred nor noisier than HR."
    )


def _too_good(label: str) -> str:
    return f"Make sure that {label} did not get the HR images themselves."
