"""Find out how an undocumented network is to be read, by trying it on photos."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from srlongtail.device import eval_mode
from srlongtail.errors import InputError, Parameter
from srlongtail.image.dataset import make_pair, open_image
from srlongtail.image.degrade import Bicubic
from srlongtail.models.adapt import VALUE_RANGES, Reading, find_demands
from srlongtail.models.sr_model import SRModel, bicubic

# Detailed crops of the built-in photos: row and column of their corners in HR pixels.
PROBE_PHOTOS = {"chelsea": (40, 120), "astronaut": (40, 180), "coffee": (140, 200)}
SIDE = 32  # LR pixels of a crop

MARGIN = 0.1  # dB by which a reading must win on every photo
HOPELESS = 6.0  # dB below bicubic
SKIP_MARGIN = 0.05  # dB by which a residual must beat bicubic on every photo
RELATED = 0.1  # least correlation of what is added to bicubic with what HR has beyond it
_NEGLIGIBLE = 0.2  # of the energy of HR's detail: less is next to bicubic, and not judged by it


@dataclass(frozen=True)
class Trial:
    """A reading, and how close to HR it came on each probe photo.

    Attributes:
        reading: what was tried.
        psnr_db: over RGB, in the order of `PROBE_PHOTOS`.
        correlation: of what the network adds to bicubic with what HR has beyond bicubic.
        energy: of what it adds, over that of what HR has.
    """

    reading: Reading
    psnr_db: tuple[float, ...]
    correlation: float
    energy: float

    @property
    def mean_db(self) -> float:
        """Mean PSNR over the photos."""
        return sum(self.psnr_db) / len(self.psnr_db)

    def equals(self, other: "Trial") -> bool:
        """Whether no photo tells the two readings apart by more than the margin."""
        pairs = zip(self.psnr_db, other.psnr_db, strict=True)
        return all(abs(a - b) <= MARGIN for a, b in pairs)

    def beats(self, other: "Trial", margin: float = MARGIN) -> bool:
        """Whether this reading is better by more than a margin on every photo."""
        return all(a > b + margin for a, b in zip(self.psnr_db, other.psnr_db, strict=True))


@dataclass(frozen=True)
class Probe:
    """How a network is best read, and how close to HR each reading came.

    Attributes:
        chosen: the trial whose reading is taken.
        trials: all of them, the best first.
        bicubic_db: PSNR of torch's bicubic on the same photos, mean.
        deterministic: whether two runs give the same.
    """

    chosen: Trial
    trials: tuple[Trial, ...]
    bicubic_db: float
    deterministic: bool = True

    @property
    def reading(self) -> Reading:
        """What was taken."""
        return self.chosen.reading

    @property
    def verdict(self) -> str:
        """ "good"; "poor": worse than bicubic; "none": no reading makes sense."""
        gain = self.chosen.mean_db - self.bicubic_db
        unrelated = self.chosen.energy > _NEGLIGIBLE and self.chosen.correlation < RELATED
        unrelated &= self.deterministic  # noise of a network's own correlates with nothing
        if gain < -HOPELESS or unrelated:
            return "none"
        return "poor" if gain < -MARGIN else "good"

    @property
    def alike(self) -> tuple[Reading, ...]:
        """Readings that the photos do not tell from the one taken."""
        return tuple(
            trial.reading
            for trial in self.trials
            if trial is not self.chosen and trial.equals(self.chosen)
        )

    def table(self, rows: int = 6) -> str:
        """The best readings in one line, with bicubic."""
        known = "; ".join(
            f"{t.mean_db:.1f} as {describe(t.reading)}" for t in self.trials[:rows] if t.mean_db > 0
        )
        return f"{known}; bicubic {self.bicubic_db:.1f}"

    def __str__(self) -> str:
        text = f"mean PSNR (dB) on crops of {', '.join(PROBE_PHOTOS)}: {self.table()}"
        if not self.deterministic:
            text += "; two runs differ"
        if self.alike:
            text += f"; not told apart: {', '.join(map(describe, self.alike))}"
        return text


def describe(reading: Reading) -> str:
    """Return a reading in words.

    >>> describe(Reading(predicts="residual", channels="bgr"))
    'residual, BGR, [0, 1]'
    """
    ranges = {
        1.0: "[0, 1]",
        255.0: "[0, 255]",
        "symmetric": "[-1, 1]",
        "symmetric-output": "[0, 1] to [-1, 1]",
    }
    colors = {"rgb": "RGB", "bgr": "BGR", "ycbcr": "YCbCr", "y": "luma"}
    return f"{reading.predicts}, {colors[reading.channels]}, {ranges[reading.value_range]}"


def probe(model: SRModel, known: Mapping[str, Any] | None = None) -> Probe:
    """Try the ways in which a network can be read, on crops of three photos.

    Image or residual over bicubic; white at 1 or 255, output or both in [-1, 1]; RGB, BGR or
    YCbCr. With so many, the best can win by chance: the usual one (image, RGB, white at 1)
    stands unless another wins by more than `MARGIN` on every photo. A residual must beat bicubic
    to be taken, because bicubic does the work of a network that adds next to nothing.

    Args:
        model: its reading says how its input is enlarged and its output picked.
        known: `predicts`, `value_range` or `channels` where they are known; these are not tried.

    >>> from torch import nn
    >>> probe(SRModel(nn.Upsample(scale_factor=2, mode="bicubic"), 2)).reading.predicts
    'image'
    """
    readings = _readings(model.reading, known or {})
    lr, hr = _crops(model.scale)
    low = bicubic(model.scale).restore(lr)
    border = model.scale
    detail = _inside(hr - low, border)
    device = model.device
    outputs: dict[tuple[str, object], Tensor] = {}
    trials = []
    with eval_mode(model), torch.no_grad():
        one, two = (model.raw_output(lr[:1].to(device), readings[0]) for _ in range(2))
        deterministic = torch.allclose(one, two, rtol=1e-3, atol=1e-4, equal_nan=True)
        for reading in readings:
            white = 1.0 if reading.value_range == "symmetric-output" else reading.value_range
            key = (reading.channels, white)  # of the input
            if key not in outputs:
                outputs[key] = model.raw_output(lr.to(device), reading).cpu()
            sr = reading.decode(outputs[key], lr, model.scale)
            if reading.predicts == "residual":
                sr = sr + low
            trials.append(_trial(reading, _inside(sr.clamp(0, 1) - low, border), detail))
    reference = _trial(Reading(), torch.zeros_like(detail), detail)
    usable = [
        trial
        for trial in trials
        if trial.reading.predicts == "image" or trial.beats(reference, SKIP_MARGIN)
    ] or trials
    best = max(usable, key=lambda trial: trial.mean_db)
    # The usual reading stands unless it is beaten on every photo; of equals, the most usual.
    chosen = next(
        trial
        for trial in usable
        if trial.equals(best) or (trial is trials[0] and not best.beats(trial))
    )
    if not deterministic and trials[0].mean_db > reference.mean_db - HOPELESS:
        chosen = trials[0]  # its own noise says nothing of a reading
    ordered = sorted(trials, key=lambda trial: -trial.mean_db)
    return Probe(chosen, tuple(ordered), reference.mean_db, deterministic)


def find_out(
    network: nn.Module,
    known: Mapping[str, Any],
    *,
    label: str = "network",
    scale_hint: int | None = None,
) -> tuple[dict[str, tuple[Any, str]], Probe | None]:
    """Try what is not known of a network: first on noise of several sizes, then on photos.

    Args:
        network: in eval mode, float32.
        known: arguments of `SRModel` that are known: they are not tried.
        label: of the network, for errors and warnings.
        scale_hint: the scale where nothing else tells it.

    Returns:
        What was found by name, each with what told it, and the probe, if one was needed.

    Raises:
        InputError: the network cannot be run, or no reading of it makes sense.
    """
    facts: dict[str, tuple[Any, str]] = {}
    if not {"scale", "multiple", "enlarged"} <= known.keys():
        depth = Reading(channels=known["channels"]).depth if "channels" in known else None
        told = {key: known[key] for key in ("scale", "multiple", "enlarged") if key in known}
        try:
            found = find_demands(network, depth=depth, scale_hint=scale_hint, **told)
        except InputError as error:
            raise error.about(label) from error
        facts["scale"] = found.scale, "size of the network's output"
        if found.enlarged or found.takes_scale:
            facts["scale"] = found.scale, "file's name"
        facts["multiple"] = found.multiple, "sizes that the network takes"
        facts["enlarged"] = found.enlarged, "size of the network's output"
        facts["takes_scale"] = found.takes_scale, "arguments of the network"
        facts["output"] = found.output, "size of the network's outputs"
        if found.depth == 1:
            facts["channels"] = "y", "single channel of the network"
        facts = {key: fact for key, fact in facts.items() if key not in known}
    settled = {**known, **{key: value for key, (value, _) in facts.items()}}
    if {"predicts", "value_range", "channels"} <= settled.keys():
        return facts, None
    tried = probe(SRModel(network, **{**settled, "name": label}), settled)
    if tried.verdict == "none" and {"predicts", "value_range"} <= settled.keys():
        return facts | {"channels": ("rgb", "usual")}, tried  # somebody wants it all the same
    if tried.verdict == "none":
        raise _refusal(tried, label)
    if tried.verdict == "poor":
        warnings.warn(_warning(tried, label), stacklevel=2)
    for key in ("predicts", "value_range", "channels"):
        if key not in settled:
            facts[key] = getattr(tried.reading, key), "probe"
    return facts, tried


def _refusal(found: Probe, label: str) -> InputError:
    return InputError(
        f"{label}: no reading of the network makes sense: {found} (a residual must beat it); the "
        f"best is {found.chosen.mean_db - found.bicubic_db:+.1f} dB from bicubic, and the "
        f"correlation of its detail with HR's is {found.chosen.correlation:.2f}; expected trained "
        f"weights, or, to use them all the same, ",
        Parameter("predicts", found.reading.predicts),
        " and ",
        Parameter("value_range", _plain(found.reading.value_range)),
    )


def _warning(found: Probe, label: str) -> str:
    return (
        f"{label}: worse than bicubic by {found.bicubic_db - found.chosen.mean_db:.1f} dB; the "
        f"color space, the range of values, untrained weights or another degradation may be why, "
        f"and a perceptual network is rightly worse in PSNR. {found}"
    )


def _plain(value_range: object) -> object:
    return int(value_range) if isinstance(value_range, float) else value_range


def _readings(start: Reading, known: Mapping[str, Any]) -> list[Reading]:
    """What is tried, the usual reading first."""
    color = ("y",) if start.depth == 1 else ("rgb", "bgr", "ycbcr")
    channels = (known["channels"],) if "channels" in known else color
    ranges = (known["value_range"],) if "value_range" in known else VALUE_RANGES
    predicts = (known["predicts"],) if "predicts" in known else ("image", "residual")
    return [
        replace(start, predicts=kind, value_range=white, channels=color)
        for kind, white, color in product(predicts, ranges, channels)
        # A residual that is cut to [-1, 1] is one in [-2, 2]: nobody has that.
        if kind == "image" or isinstance(white, float) or "value_range" in known
    ]


@cache
def _crops(scale: int) -> tuple[Tensor, Tensor]:
    """LR and HR of the crops, `(3, 3, h, w)`."""
    pairs = []
    side = min(SIDE * scale, 256 - 256 % scale)
    for name, (row, column) in PROBE_PHOTOS.items():
        hr = open_image(name, 1)[0].hr[:, row : row + side, column : column + side]
        pairs.append(make_pair(hr, Bicubic(scale), name))
    return torch.stack([p.lr for p in pairs]), torch.stack([p.hr for p in pairs])


def _inside(images: Tensor, border: int) -> Tensor:
    return images[..., border:-border, border:-border]


def _trial(reading: Reading, added: Tensor, detail: Tensor) -> Trial:
    """How close a network came that adds this to bicubic, where HR has this detail beyond it."""
    errors = (added - detail).double().square().mean(dim=(1, 2, 3)).clamp_min(1e-10)
    psnr = torch.nan_to_num(-10 * errors.log10(), nan=-100.0)
    norms = added.norm() * detail.norm()
    correlation = float((added * detail).sum() / norms) if float(norms) > 0 else 0.0
    energy = float(added.norm() / detail.norm().clamp_min(1e-12))
    return Trial(reading, tuple(psnr.tolist()), correlation, energy)
