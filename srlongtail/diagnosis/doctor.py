"""Which conventions give a PSNR: how far each moves the number, and which reproduce a claim."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from srlongtail.diagnosis.conventions import Conventions, Space, find_space
from srlongtail.diagnosis.restorations import Restorations
from srlongtail.errors import InputError
from srlongtail.evaluation import check_scales, scorable
from srlongtail.image.dataset import ImageSet
from srlongtail.image.registration import ALIGNED, Shift
from srlongtail.metrics import Y_CHANNEL, Score
from srlongtail.models.sr_images import AnyModel, fit_to_images

COLUMNS = (
    "protocol", "convention", "value", "words",
    "psnr_db", "psnr_change_db", "ssim", "ssim_change", "reproduces",
)  # fmt: skip
SMALLEST_SHIFT = 0.05  # pixels
MOST_DEPARTURES = 2
NEAR = 20  # tolerances of a claim: how far around it the tried sets are counted
SHOWN = 5  # of the sets that are nearest to a claim
LISTED = 12  # of the sets that reproduce a claim
MARKED_GAIN = 0.1  # dB that another reading of the network must gain to be mentioned


@dataclass(frozen=True)
class Printed:
    """A number as a paper prints it, which stands for all that round to it.

    Attributes:
        text: As it was given.

    Example:
        >>> Printed("29.00").digits, Printed("29.00").covers(29.0049), Printed("29.0").covers(29.04)
        (2, True, True)
    """

    text: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d*\.?\d+|\d+\.", self.text):
            raise InputError(f"claimed {self.text!r}, expected a number such as 29.00")

    @property
    def value(self) -> float:
        """The number itself."""
        return float(self.text)

    @property
    def digits(self) -> int:
        """The number of digits after the point."""
        return len(self.text.partition(".")[2])

    @property
    def tolerance(self) -> float:
        """Half a unit of the last digit."""
        return 0.5 * 10**-self.digits

    def distance(self, value: float) -> float:
        """Return how far a value is from this one, in tolerances; NaN is infinitely far."""
        distance = abs(value - self.value) / self.tolerance
        return distance if distance == distance else np.inf

    def covers(self, value: float) -> bool:
        """Return whether a value rounds to this one."""
        return self.distance(value) <= 1 + 1e-6


@dataclass(frozen=True)
class Claim:
    """A PSNR, and perhaps an SSIM, that somebody printed.

    Args:
        psnr: In dB, with all digits printed.
        ssim: Likewise; None if it is not known.

    Raises:
        InputError: The text is not a number, PSNR is not between 1 and 100, or SSIM exceeds 1.
    """

    psnr: Printed
    ssim: Printed | None = None

    @classmethod
    def parse(cls, psnr: str, ssim: str | None = None) -> "Claim":
        """Return the claim that two texts make.

        Example:
            >>> print(Claim.parse("29.00", "0.8565"))
            29.00 dB / 0.8565
        """
        claim = cls(Printed(psnr), None if ssim is None else Printed(ssim))
        if not 1 < claim.psnr.value < 100:
            raise InputError(f"claimed PSNR {psnr}, expected decibels between 1 and 100")
        if claim.ssim is not None and claim.ssim.value > 1:
            raise InputError(f"claimed SSIM {ssim}, expected at most 1")
        return claim

    def distance(self, score: Score) -> float:
        """Return the larger distance of PSNR and SSIM, in tolerances."""
        of_ssim = self.ssim.distance(score.ssim) if self.ssim else 0.0
        return max(self.psnr.distance(score.psnr_db), of_ssim)

    def covers(self, score: Score) -> bool:
        """Return whether PSNR and SSIM round to the claim."""
        return self.psnr.covers(score.psnr_db) and (
            self.ssim is None or self.ssim.covers(score.ssim)
        )

    def __str__(self) -> str:
        return f"{self.psnr.text} dB" + (f" / {self.ssim.text}" if self.ssim else "")


@dataclass(frozen=True)
class Scored:
    """A set of conventions, and the PSNR and SSIM that it gives.

    Attributes:
        conventions: The set.
        score: The means over the images.
        protocol: Name of the protocol that it departs from.
        departures: What it departs in: names of conventions.
    """

    conventions: Conventions
    score: Score
    protocol: str
    departures: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return all facts by name."""
        return {
            "conventions": self.conventions.record(),
            "words": self.conventions.text(),
            "protocol": self.protocol,
            "departures": list(self.departures),
            "psnr_db": self.score.psnr_db,
            "ssim": self.score.ssim,
        }

    def __str__(self) -> str:
        """The set as the protocol and what departs from it."""
        changes = ", ".join(self.conventions.words(axis) for axis in self.departures)
        return f"{self.protocol} protocol" + (f", but {changes}" if changes else "")


@dataclass(frozen=True)
class Level:
    """What the search found among the sets of one number of departures.

    Attributes:
        departures: Their number of departures from the nearer protocol.
        tried: How many sets there are.
        matches: Those that reproduce the claim.
        by_chance: How many would do so by chance. The sets around the claim, within `NEAR`
            tolerances and without the matches, are taken to be spread evenly.
    """

    departures: int
    tried: int
    matches: tuple[Scored, ...]
    by_chance: float


@dataclass(frozen=True)
class Diagnosis:
    """How far each convention moves a number, and which sets of them reproduce a claim.

    Attributes:
        model: Name of the network or of the folder of SR images.
        data: Name of the data set.
        images: Number of images.
        protocols: Protocol -> what it gives as it stands.
        single: The sets that depart from a protocol in one convention.
        shift: Median shift of SR against HR; `ALIGNED` if it is small, or if undoing it does not
            raise PSNR.
        claim: What is to be reproduced, if anything.
        levels: What the search found, by number of departures; it ends at the first match.
        nearest: The sets nearest to the claim, of all that were tried.
    """

    model: str
    data: str
    images: int
    protocols: Mapping[str, Scored]
    single: tuple[Scored, ...]
    shift: Shift
    claim: Claim | None = None
    levels: tuple[Level, ...] = ()
    nearest: tuple[Scored, ...] = ()

    @property
    def matches(self) -> tuple[Scored, ...]:
        """The sets that reproduce the claim with the fewest departures."""
        return self.levels[-1].matches if self.levels else ()

    def frame(self) -> pd.DataFrame:
        """Return one row for each departure from a protocol, with the columns `COLUMNS`.

        The first row of each protocol is the protocol itself, with an empty `convention`.
        `reproduces` tells whether the row gives the claim; None without a claim.
        """
        rows = []
        for scored in (*self.protocols.values(), *self.single):
            base = self.protocols[scored.protocol].score
            axis = scored.departures[0] if scored.departures else ""
            value = getattr(scored.conventions, axis) if axis else ""
            words = scored.conventions.words(axis) if axis else str(scored)
            score = scored.score
            changes = score.psnr_db - base.psnr_db, score.ssim - base.ssim
            covered = self.claim.covers(score) if self.claim else None
            numbers = score.psnr_db, changes[0], score.ssim, changes[1]
            rows.append((scored.protocol, axis, str(value), words, *numbers, covered))
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        order = {name: place for place, name in enumerate(self.protocols)}
        return table.sort_values("protocol", key=lambda p: p.map(order), kind="stable")

    def settings(self) -> dict[str, Any]:
        """Return what was searched, as JSON values."""
        return {
            "claimed": None if self.claim is None else str(self.claim),
            "shift_px": list(self.shift),
            "near": NEAR,
            "levels": [
                {**asdict(replace(level, matches=())), "matches": len(level.matches)}
                for level in self.levels
            ],
        }

    def record(self) -> dict[str, Any]:
        """Return the verdict, the matches, the nearest sets and the table."""
        return {
            "verdict": self.message(),
            "matches": [scored.record() for scored in self.matches],
            "nearest": [scored.record() for scored in self.nearest],
            "table": self.frame().to_dict("records"),
        }

    def message(self) -> str:
        """Return the verdict, one paragraph a line."""
        own = "; ".join(
            f"{s.score.psnr_db:.3f} dB / {s.score.ssim:.4f} by the {name} protocol"
            for name, s in self.protocols.items()
        )
        where = f"{self.model} on {self.data} ({self.images} images)"
        on_claim = list(self._on_the_claim())
        first = f"{where}: {on_claim[0] if on_claim else own + '.'}"
        measured = [f"Measured: {own}."] if on_claim else []
        return "\n".join([first, *on_claim[1:], *measured, *self._on_the_reading()])

    def _on_the_claim(self) -> Iterable[str]:
        if self.claim is None:
            return
        level = self.levels[-1]
        if not self.matches:
            total = sum(level.tried for level in self.levels)
            nearest = self.nearest[0]
            yield (
                f"{self.claim} is not reproduced. None of {total} sets of conventions with up to "
                f"{_counted(level.departures)} from either protocol gives it. The nearest gives "
                f"{nearest.score.psnr_db:.3f} dB / {nearest.score.ssim:.4f}: {nearest}."
            )
            return
        first = self.matches[0]
        text = first.conventions.text(ssim=self.claim.ssim is not None)
        if len(self.matches) == 1:
            yield f"{self.claim} is reproduced by the {first}."
            yield f"All of its conventions: {text}."
        else:
            yield (
                f"{self.claim} is not identifiable: these {len(self.matches)} sets of conventions "
                f"all give it."
            )
            yield from (f"- {match}" for match in self.matches[:LISTED])
            if len(self.matches) > LISTED:
                yield f"- and {len(self.matches) - LISTED} more"
            yield f"All conventions of the first: {text}."
        doubt = ": chance may explain the match" if level.by_chance >= 0.5 else ""
        yield (
            f"Search: {level.tried} sets of conventions with {_counted(level.departures)}, "
            f"{level.by_chance:.2g} matches expected by chance{doubt}."
        )
        keys = {_key(match.conventions, self.claim) for match in self.matches}
        also = {
            key
            for s in self.single
            if self.claim.covers(s.score) and (key := _key(s.conventions, self.claim)) not in keys
        }
        if level.departures == 0 and also:
            yield (
                f"The claim cannot exclude {len(also)} sets with 1 departure that give the same "
                f"digits (marked = in the table)."
            )

    def _on_the_reading(self) -> Iterable[str]:
        if self.shift == ALIGNED:
            yield f"No shift of SR against HR by {SMALLEST_SHIFT} pixels or more."
        else:
            gains = [s for s in self.single if "registered" in s.departures]
            base = self.protocols[gains[0].protocol].score.psnr_db
            yield (
                f"SR is shifted against HR, by {self.shift}; undoing this changes PSNR by "
                f"{gains[0].score.psnr_db - base:+.2f} dB ({gains[0].protocol} protocol)."
            )
        for scored in self.single:
            gain = scored.score.psnr_db - self.protocols[scored.protocol].score.psnr_db
            (axis,) = scored.departures
            is_reading = axis in ("predicts", "value_range", "order", "batch_norm")
            if is_reading and gain > MARKED_GAIN and scored.protocol == next(iter(self.protocols)):
                yield (
                    f"The SR images are better with another setting: "
                    f"{scored.conventions.words(axis)} gains {gain:.2f} dB."
                )


def diagnose(
    model: AnyModel,
    data: ImageSet,
    claim: Claim | None = None,
    *,
    most_departures: int = MOST_DEPARTURES,
    skip_bad: bool = False,
) -> Diagnosis:
    """Measure how far each convention moves PSNR and SSIM, and search for those of a claim.

    Thousands of combinations would reproduce any number. So the sets of conventions are tried by
    the number of their departures from the nearer protocol (the paper's or Y), and the search
    ends at the first number with a match. Sets that differ in SSIM alone count once if no SSIM is
    claimed.

    Args:
        model: A network, or a folder of SR images, for which only the scoring can vary.
        data: The images, of the model's scale.
        claim: What is to be reproduced.
        most_departures: Largest number of departures to try.
        skip_bad: Leave out images that are too small to be scored, or that a folder of SR images
            lacks, with a warning, rather than raise an error.

    Raises:
        InputError: A model of another scale than the data set's, or images that cannot be scored
            by all conventions.

    Example:
        >>> from srlongtail.image.dataset import photos
        >>> from srlongtail.models.sr_model import bicubic
        >>> found = diagnose(bicubic(4), photos(4)[1:2], Claim.parse("31.57"))
        >>> [str(match) for match in found.matches]
        ['y protocol']
    """
    if most_departures < 0:
        raise InputError(f"most_departures {most_departures}, expected 0 or more")
    check_scales([model], [data])
    data = fit_to_images([model], data, skip_bad=skip_bad)
    border = data.scale + 6
    widest = replace(Y_CHANNEL, name=f"y with crop {border}", border=border)
    data = scorable(data, widest, skip_bad=skip_bad)
    restorations = Restorations(model, data)
    space = find_space(model, data)
    first = next(iter(space.protocols.values()))
    shift = restorations.find_shift(first.input())
    if shift.size >= SMALLEST_SHIFT:
        restorations.shift = shift
        registered = replace(first, registered=True)
        # Registration of images that have little in common finds some shift, too.
        if restorations.psnr(registered) > restorations.psnr(first):
            space = find_space(model, data, is_shifted=True)
        else:
            restorations.shift = ALIGNED

    single = {
        conventions: (name, axes)
        for name in space.protocols
        for axes, conventions in space.departures(name, 1)
        if conventions not in space.protocols.values()
    }
    restorations.measure([*space.protocols.values(), *single], with_ssim=True, label="table")
    levels, nearest = search(restorations, space, claim, most_departures) if claim else ([], [])
    return Diagnosis(
        model.name,
        data.name,
        len(data),
        {name: Scored(c, restorations.score(c), name) for name, c in space.protocols.items()},
        tuple(
            Scored(c, restorations.score(c), name, axes)
            for name in space.protocols
            for axes, c in space.departures(name, 1)
        ),
        restorations.shift,
        claim,
        tuple(levels),
        tuple(nearest),
    )


def search(
    restorations: Restorations,
    space: Space,
    claim: Claim,
    most_departures: int = MOST_DEPARTURES,
) -> tuple[list[Level], list[Scored]]:
    """Try sets by their number of departures until some reproduce the claim; see `diagnose`.

    Args:
        restorations: What scores the sets.
        space: The sets.
        claim: What is to be reproduced.
        most_departures: Largest number of departures to try.

    Returns:
        What was found at each number of departures, and the sets nearest to the claim.
    """
    with_ssim = claim.ssim is not None
    seen: set[Conventions] = set()
    tried: dict[Conventions, tuple[str, tuple[str, ...]]] = {}
    levels: list[Level] = []

    def scored(conventions: Conventions) -> Scored:
        return Scored(conventions, restorations.score(conventions), *tried[conventions])

    for count in range(most_departures + 1):
        new = []
        for name in space.protocols:
            for axes, conventions in space.departures(name, count, ssim=with_ssim):
                if (key := _key(conventions, claim)) not in seen:
                    seen.add(key)
                    new.append(conventions)
                    tried[conventions] = name, axes
        restorations.measure(new, with_ssim=False, label=_counted(count))
        near = [c for c in new if claim.psnr.distance(restorations.psnr(c)) <= NEAR]
        restorations.measure(near, with_ssim=with_ssim, label=_counted(count))
        if with_ssim:
            near = [c for c in near if claim.distance(restorations.score(c)) <= NEAR]
        matches = [
            c
            for c in near
            if claim.psnr.covers(restorations.psnr(c))
            and (not with_ssim or claim.covers(restorations.score(c)))
        ]
        dimensions = 2 if with_ssim else 1
        by_chance = (len(near) - len(matches)) / (NEAR**dimensions - 1)
        levels.append(Level(count, len(new), tuple(map(scored, matches)), by_chance))
        if matches:
            break
    closest = sorted(tried, key=lambda c: claim.psnr.distance(restorations.psnr(c)))[: 4 * SHOWN]
    restorations.measure(closest, with_ssim=True, label="nearest")
    nearest = sorted(map(scored, closest), key=lambda s: claim.distance(s.score))
    return levels, nearest[:SHOWN]


def _key(conventions: Conventions, claim: Claim) -> Conventions:
    """Return what makes a set distinct: where no SSIM is claimed, what SSIM depends on does not."""
    if claim.ssim is not None:
        return conventions
    return replace(conventions, ssim="uniform", ssim_of=conventions.channels)


def _counted(departures: int) -> str:
    return f"{departures or 'no'} departure{'' if departures == 1 else 's'}"
