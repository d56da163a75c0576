"""Find out how to read an undocumented network, by running it on photos."""

import warnings
from collections.abc import Mapping, Sequence
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
from srlongtail.image.resample import pad_symmetric
from srlongtail.models.adapt import VALUE_RANGES, Reading, find_demands
from srlongtail.models.sr_model import SRModel, bicubic

# Detailed crops of the built-in photos: row and column of their corners in HR pixels.
PROBE_PHOTOS = {"chelsea": (40, 120), "astronaut": (40, 180), "coffee": (140, 200)}
SIDE = 32  # LR pixels of a crop
LARGER_SIDES = (72, 144)  # for networks that fail on such small images; multiples of 12

MARGIN = 0.1  # dB by which a reading must win on every photo
HOPELESS = 6.0  # dB below bicubic
SKIP_MARGIN = 0.05  # dB by which a residual must beat bicubic on every photo
RELATED = 0.1  # smallest correlation of the detail beyond bicubic in SR with that in HR
_NEGLIGIBLE = 0.2  # of the energy of HR's detail: too close to bicubic to judge the correlation


@dataclass(frozen=True)
class Trial:
    """A reading, and how close to HR it came on each probe photo.

    Attributes:
        reading: The reading that was tried.
        psnr_db: PSNR over RGB, in the order of `PROBE_PHOTOS`.
        correlation: Correlation between the detail beyond bicubic in SR and in HR.
        energy: Norm of the detail beyond bicubic in SR, relative to that in HR.
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
        """Return whether the two readings differ by at most the margin on every photo."""
        pairs = zip(self.psnr_db, other.psnr_db, strict=True)
        return all(abs(a - b) <= MARGIN for a, b in pairs)

    def beats(self, other: "Trial", margin: float = MARGIN) -> bool:
        """Return whether this reading is better by more than a margin on every photo."""
        return all(a > b + margin for a, b in zip(self.psnr_db, other.psnr_db, strict=True))


@dataclass(frozen=True)
class Probe:
    """The best way to read a network, and how close to HR each reading came.

    Attributes:
        chosen: The trial whose reading is used.
        trials: All trials, the best first.
        bicubic_db: Mean PSNR of torch's bicubic on the same photos.
        deterministic: Whether two runs give the same result.
    """

    chosen: Trial
    trials: tuple[Trial, ...]
    bicubic_db: float
    deterministic: bool = True

    @property
    def reading(self) -> Reading:
        """The reading that is used."""
        return self.chosen.reading

    @property
    def verdict(self) -> str:
        """The word "good"; "poor" (worse than bicubic); or "none" (no reading makes sense)."""
        gain = self.chosen.mean_db - self.bicubic_db
        unrelated = self.chosen.energy > _NEGLIGIBLE and self.chosen.correlation < RELATED
        unrelated &= self.deterministic  # noise that a network adds correlates with nothing
        if gain < -HOPELESS or unrelated:
            return "none"
        return "poor" if gain < -MARGIN else "good"

    @property
    def alike(self) -> tuple[Reading, ...]:
        """Readings that the photos cannot tell apart from the one that is used."""
        return tuple(
            trial.reading
            for trial in self.trials
            if trial is not self.chosen and trial.equals(self.chosen)
        )

    def table(self, rows: int = 6) -> str:
        """Return the best readings and bicubic, with their PSNR, in one line."""
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

    Example:
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
    words = [reading.predicts, colors[reading.channels], ranges[reading.value_range]]
    if reading.output is not None:
        words.append(f"output {reading.output}")
    return ", ".join(words)


def probe(
    model: SRModel,
    known: Mapping[str, Any] | None = None,
    outputs: Sequence[int | str | None] = (),
) -> Probe:
    """Try the ways in which a network can be read, on crops of three photos.

    The readings are: image or residual over bicubic; white at 1 or 255, output or both in
    [-1, 1]; RGB, BGR or YCbCr; and each of several outputs. With so many, the best can win by
    chance: the default (image, RGB, white at 1, the first of `outputs`) stands unless another
    reading wins by more than `MARGIN` on every photo. A residual must beat bicubic to be chosen,
    because bicubic does the work of a network that adds next to nothing.

    Args:
        model: Its reading determines whether the input is enlarged and which output is used.
        known: Settings `predicts`, `value_range` or `channels` that are known and not tried.
        outputs: Outputs of the network to choose from, the most likely one first; default: the
            model's own.

    Raises:
        InputError: The network fails on crops of every size.

    Example:
        >>> from torch import nn
        >>> probe(SRModel(nn.Upsample(scale_factor=2, mode="bicubic"), 2)).reading.predicts
        'image'
    """
    readings = _readings(model.reading, known or {}, outputs)
    with eval_mode(model), torch.no_grad():
        lr, hr, deterministic = _crops_that_suit(model, readings[0])
        low = bicubic(model.scale).restore(lr)
        detail = _inside(hr - low, model.scale)
        by_input: dict[tuple[str, object], list[Reading]] = {}
        for reading in readings:
            white = 1.0 if reading.value_range == "symmetric-output" else reading.value_range
            by_input.setdefault((reading.channels, white), []).append(reading)
        scored = {}
        for same_input in by_input.values():
            made = model.raw_outputs(lr.to(model.device), same_input)
            for reading, output in zip(same_input, made, strict=True):
                sr = reading.decode(output.cpu(), lr, model.scale)
                if reading.predicts == "residual":
                    sr = sr + low
                added = _inside(sr.clamp(0, 1) - low, model.scale)
                scored[reading] = _trial(reading, added, detail)
    trials = [scored[reading] for reading in readings]
    reference = _trial(Reading(), torch.zeros_like(detail), detail)
    usable = [
        trial
        for trial in trials
        if trial.reading.predicts == "image" or trial.beats(reference, SKIP_MARGIN)
    ] or trials
    best = max(usable, key=lambda trial: trial.mean_db)
    # The default stands unless it is beaten on every photo; among equals, the most usual wins.
    chosen = next(
        trial
        for trial in usable
        if trial.equals(best) or (trial is trials[0] and not best.beats(trial))
    )
    if not deterministic and trials[0].mean_db > reference.mean_db - HOPELESS:
        chosen = trials[0]  # noise of the network itself does not favor any reading
    ordered = sorted(trials, key=lambda trial: -trial.mean_db)
    return Probe(chosen, tuple(ordered), reference.mean_db, deterministic)


def find_out(
    network: nn.Module,
    known: Mapping[str, Any],
    *,
    label: str = "network",
    scale_hint: int | None = None,
) -> tuple[dict[str, tuple[Any, str]], Probe | None]:
    """Determine the unknown settings of a network, by running it on noise, then on photos.

    Args:
        network: The network, in eval mode and float32.
        known: Arguments of `SRModel` that are known; they are not tried.
        label: Name of the network in errors and warnings.
        scale_hint: Scale to use if nothing else determines it.

    Returns:
        Setting -> its value and what determined it; and the probe, if one was needed.

    Raises:
        InputError: The network cannot be run, or no reading of it makes sense.
    """
    facts: dict[str, tuple[Any, str]] = {}
    outputs: tuple[int | str | None, ...] = ()
    if not {"scale", "multiple", "enlarged", "takes_scale", "output"} <= known.keys():
        depth = Reading(channels=known["channels"]).depth if "channels" in known else None
        told = {key: known[key] for key in ("scale", "multiple", "enlarged") if key in known}
        try:
            found = find_demands(network, depth=depth, scale_hint=scale_hint, **told)
        except InputError as error:
            raise error.about(label) from error
        by_size = "size of the network's output"
        by_name = found.enlarged or found.takes_scale
        facts["scale"] = found.scale, "file's name" if by_name else by_size
        facts["multiple"] = found.multiple, "sizes that the network takes"
        facts["enlarged"] = found.enlarged, by_size
        facts["takes_scale"] = found.takes_scale, "arguments of the network"
        facts["output"] = found.output, "size of the network's outputs"
        if found.depth == 1:
            facts["channels"] = "y", "single channel of the network"
        facts = {key: fact for key, fact in facts.items() if key not in known}
        outputs = found.outputs if len(found.outputs) > 1 and "output" not in known else ()
    settled = {**known, **{key: value for key, (value, _) in facts.items()}}
    unknown = [key for key in ("predicts", "value_range", "channels") if key not in settled]
    if not unknown and not outputs:
        return facts, None
    tried = probe(SRModel(network, **{**settled, "name": label}), settled, outputs)
    if outputs:
        facts["output"] = tried.reading.output, "probe"
    if tried.verdict == "none" and {"predicts", "value_range"} <= settled.keys():
        # The user wants to use the network all the same.
        return facts | ({"channels": ("rgb", "usual")} if "channels" in unknown else {}), tried
    if tried.verdict == "none":
        raise _refusal(tried, label)
    if tried.verdict == "poor":
        warnings.warn(_warning(tried, label), stacklevel=2)
    facts |= {key: (getattr(tried.reading, key), "probe") for key in unknown}
    return facts, tried


def _refusal(found: Probe, label: str) -> InputError:
    white = found.reading.value_range
    return InputError(
        f"{label}: no reading of the network makes sense: {found} (a residual must beat it); the "
        f"best is {found.chosen.mean_db - found.bicubic_db:+.1f} dB from bicubic, and the "
        f"correlation of its detail with HR's is {found.chosen.correlation:.2f}; expected trained "
        f"weights, or, to use them all the same, ",
        Parameter("predicts", found.reading.predicts),
        " and ",
        Parameter("value_range", int(white) if isinstance(white, float) else white),
    )


def _warning(found: Probe, label: str) -> str:
    return (
        f"{label}: worse than bicubic by {found.bicubic_db - found.chosen.mean_db:.1f} dB; "
        f"possible reasons are the color space, the range of values, untrained weights or another "
        f"degradation; a perceptual network is rightly worse in PSNR. {found}"
    )


def _readings(
    start: Reading, known: Mapping[str, Any], outputs: Sequence[int | str | None]
) -> list[Reading]:
    """Return the readings to try, the default first."""
    color = ("y",) if start.depth == 1 else ("rgb", "bgr", "ycbcr")
    channels = (known["channels"],) if "channels" in known else color
    ranges = (known["value_range"],) if "value_range" in known else VALUE_RANGES
    predicts = (known["predicts"],) if "predicts" in known else ("image", "residual")
    return [
        replace(start, predicts=kind, value_range=white, channels=color, output=output)
        for kind, white, color, output in product(
            predicts, ranges, channels, outputs or (start.output,)
        )
        # A residual cut to [-1, 1] would be one in [-2, 2], which no network predicts.
        if kind == "image" or isinstance(white, float) or "value_range" in known
    ]


def _crops_that_suit(model: SRModel, reading: Reading) -> tuple[Tensor, Tensor, bool]:
    """Return the smallest LR and HR crops that a network takes, and whether two runs agree."""
    first: InputError | None = None
    for side in (SIDE, *LARGER_SIDES):
        lr, hr = _crops(model.scale, side)
        part = lr[:1].to(model.device)
        try:
            one, two = (model.raw_output(part, reading) for _ in range(2))
        except InputError as error:
            first = first or error
            continue
        return lr, hr, torch.allclose(one, two, rtol=1e-3, atol=1e-4, equal_nan=True)
    assert first is not None, "the network failed on every crop"
    raise first


@cache
def _crops(scale: int, lr_side: int = SIDE) -> tuple[Tensor, Tensor]:
    """Return LR and HR of the crops, `(3, 3, h, w)`; photos that are too small are mirrored."""
    pairs = []
    side = lr_side * scale
    if lr_side == SIDE:
        side = min(side, 256 - 256 % scale)
    for name, (row, column) in PROBE_PHOTOS.items():
        hr = open_image(name, 1)[0].hr
        for axis in (-2, -1):
            hr = pad_symmetric(hr, 0, max(0, side - hr.shape[axis]), axis=axis)
        row, column = min(row, hr.shape[-2] - side), min(column, hr.shape[-1] - side)
        hr = hr[:, row : row + side, column : column + side]
        pairs.append(make_pair(hr, Bicubic(scale), name))
    return torch.stack([p.lr for p in pairs]), torch.stack([p.hr for p in pairs])


def _inside(images: Tensor, border: int) -> Tensor:
    return images[..., border:-border, border:-border]


def _trial(reading: Reading, added: Tensor, detail: Tensor) -> Trial:
    """Return the trial of a reading.

    Args:
        reading: The reading that was tried.
        added: Detail of SR beyond bicubic.
        detail: Detail of HR beyond bicubic.
    """
    errors = (added - detail).double().square().mean(dim=(1, 2, 3)).clamp_min(1e-10)
    psnr = torch.nan_to_num(-10 * errors.log10(), nan=-100.0)
    norms = added.norm() * detail.norm()
    correlation = float((added * detail).sum() / norms) if float(norms) > 0 else 0.0
    energy = float(added.norm() / detail.norm().clamp_min(1e-12))
    return Trial(reading, tuple(psnr.tolist()), correlation, energy)
