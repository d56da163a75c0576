"""Facts about a network, as fields: its file, how it was trained, what determined its settings.

Without torch, so that recipes and the command line can use it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

from srlongtail.errors import InputError

PARTS = ("skip", "static", "learnable")
"""What Focal Pixel Learning (FPL) is made of."""


LOSSES_BY_PARTS: Mapping[str, Mapping[str, Any]] = {
    "l1": {"static": False, "learnable": False, "p": 1},
    "l2": {"static": False, "learnable": False, "p": 2},
    "static": {"static": True, "learnable": False},
    "learnable": {"static": False, "learnable": True},
    "fpl": {"static": True, "learnable": True},
}
"""The losses that FPL is made of -> the settings of a recipe that stand for them."""


def loss_of(settings: Mapping[str, Any]) -> str:
    """Return the name of the loss that a recipe trains with.

    Args:
        settings: Settings of the recipe by name.

    Example:
        >>> loss_of({"static": True, "learnable": True}), loss_of({"p": 2})
        ('fpl', 'l2')
        >>> loss_of({"loss": "sobel"})
        'sobel'
    """
    if settings.get("loss"):
        return str(settings["loss"])
    known = {key: settings.get(key, False) for key in ("static", "learnable")}
    known["p"] = settings.get("p", 1)
    return next(name for name, parts in LOSSES_BY_PARTS.items() if parts.items() <= known.items())


def arm_of(settings: Mapping[str, Any]) -> str:
    """Return the arm of an ablation: the parts of FPL that a network was trained with.

    A loss that is not made of these parts is named after them.

    Args:
        settings: Settings of the recipe by name.

    Example:
        >>> arm_of({"skip": True, "static": True, "learnable": False})
        'skip+static'
        >>> arm_of({}), arm_of(dict.fromkeys(PARTS, True))
        ('baseline', 'FPL')
        >>> arm_of({"skip": True, "loss": "sobel"}), arm_of({"p": 2})
        ('skip+sobel', 'L2')
    """
    on = [part for part in PARTS if settings.get(part)]
    if len(on) == len(PARTS):
        on = ["FPL"]
    if settings.get("p") == 2:
        on.append("L2")
    if settings.get("loss"):
        on.append(settings["loss"])
    return "+".join(on) or "baseline"


ARMS = tuple(
    arm_of(dict.fromkeys(on, True))
    for count in range(len(PARTS) + 1)
    for on in combinations(PARTS, count)
)


@dataclass(frozen=True)
class Source:
    """The file that a network's weights were read from.

    Attributes:
        name: Name of the file, without its folders.
        sha256: Hash of its bytes.
        wrapping: Which of its tensors were used and which prefix was cut off, in words; empty for
            a plain file.
    """

    name: str
    sha256: str
    wrapping: str = ""


@dataclass(frozen=True)
class Training:
    """How a network was trained, as far as its file states it.

    Attributes:
        iterations: Number of iterations.
        recipe: All settings by name; see `training.recipe.Recipe`. Empty if unknown.
        data: The training images; see `training.images.describe`. Empty if unknown.
        run: Other facts of the run: seed, device, versions, validation, time.
    """

    iterations: int
    recipe: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arm(self) -> str | None:
        """Parts of FPL, or another loss, that it was trained with; None without a recipe."""
        return arm_of(self.recipe) if self.recipe else None

    @property
    def loss(self) -> str | None:
        """Name of the loss; None without a recipe."""
        return loss_of(self.recipe) if self.recipe else None

    @property
    def precision(self) -> str | None:
        """ "float32" or "bfloat16", the precision of the forward pass; None without a recipe.

        Files from before this was noted have the recipe's, or what "auto" then stood for.
        """
        if not self.recipe:
            return None
        chosen = self.recipe.get("precision", "auto")
        if chosen == "auto":
            on_cpu = str(self.run.get("device", "cpu")).startswith("cpu")
            chosen = "float32" if on_cpu else "bfloat16"
        return self.run.get("precision", chosen)

    @property
    def degradation(self) -> str | None:
        """Degradation that it was trained for; None without a recipe."""
        return self.recipe.get("degradation")

    @property
    def images(self) -> int | None:
        """Number of training images."""
        return self.data.get("images")

    @property
    def budget(self) -> tuple[int, str]:
        """Iterations and a hash of the names of the images; equal for comparable runs."""
        return self.iterations, str(self.data.get("names_sha256", ""))

    def record(self) -> dict[str, Any]:
        """Return the facts as JSON values, as they stand in the header of a file."""
        known = {"recipe": dict(self.recipe), "data": dict(self.data)}
        known = {key: value for key, value in known.items() if value}
        return {**known, "iterations": self.iterations, **self.run}


_TYPES: Mapping[str, type] = {
    "architecture": str,
    "arguments": dict,
    "network": str,
    "arm": str,
    "degradation": str,
    "iterations": int,
    "recipe": dict,
    "data": dict,
}
"""The types of what is read from a file's header."""


@dataclass(frozen=True)
class Provenance:
    """Origin of a network, and what determined its settings.

    Attributes:
        architecture: Its name in the catalog, if it has one.
        arguments: Arguments that it was built with.
        network: How else it was built: a call such as `nets:make(3)`, or spandrel's name of its
            architecture.
        training: How it was trained, if the file states it.
        arm: Arm of the ablation by the model card, if the file does not state it.
        degradation: Degradation it was trained for by the model card, likewise.
        source: The file.
        determined_by: Setting, such as "scale" -> what determined it, such as "card" or "probe".
        probe: The readings that a probe tried, in words.
        notes: Other things to know about how it was loaded, in words.
    """

    architecture: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    network: str | None = None
    training: Training | None = None
    arm: str | None = None
    degradation: str | None = None
    source: Source | None = None
    determined_by: Mapping[str, str] = field(default_factory=dict)
    probe: str = ""
    notes: tuple[str, ...] = ()

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> "Provenance":
        """Read the part `provenance` of the header of one of our files.

        Raises:
            InputError: A fact has the wrong type.

        Example:
            >>> header = {"architecture": "fsrcnn", "iterations": 7, "recipe": {"skip": True}}
            >>> Provenance.from_header(header).training.arm
            'skip'
        """
        for key, kind in _TYPES.items():
            if not isinstance(header, Mapping) or not isinstance(header.get(key, kind()), kind):
                raise InputError(f"the file's header has an unreadable {key} in its provenance")
        known = dict(header)
        ours = {key: known.pop(key) for key in ("architecture", "arguments") if key in known}
        stated = {key: known.pop(key) for key in ("network", "arm", "degradation") if key in known}
        for key in ("file", "sha256", "settled_by", "determined_by", "probe", "wrapping", "notes"):
            known.pop(key, None)  # of the file that the saved network was once read from
        training = None
        if "iterations" in known:
            parts = {key: known.pop(key, {}) for key in ("recipe", "data")}
            training = Training(known.pop("iterations"), **parts, run=known)
        return cls(**ours, **stated, training=training)

    def record(self) -> dict[str, Any]:
        """Return all known facts as flat JSON values; an empty dict if nothing is known."""
        known: dict[str, Any] = {}
        if self.architecture is not None:
            known = {"architecture": self.architecture, "arguments": dict(self.arguments)}
        stated = {key: getattr(self, key) for key in ("network", "arm", "degradation")}
        known |= {key: value for key, value in stated.items() if value is not None}
        if self.training is not None:
            known |= self.training.record()
        if self.source is not None:
            file = asdict(self.source)
            known |= {"file": file.pop("name"), **{k: v for k, v in file.items() if v}}
        if self.probe:
            known["probe"] = self.probe
        if self.notes:
            known["notes"] = list(self.notes)
        if self.determined_by:
            known["determined_by"] = dict(self.determined_by)
        return known


@dataclass(frozen=True)
class Subject:
    """What figures and tables call a model, and which color and line it gets.

    Attributes:
        name: Name of the model.
        label: Its name in figures.
        architecture: Its name in the catalog; "bicubic" for bicubic, empty if unknown.
        arm: Parts of FPL that it was trained with.
    """

    name: str
    label: str
    architecture: str = ""
    arm: str = "baseline"


def by_name(subjects: Iterable[Subject]) -> dict[str, Subject]:
    """Return subjects by their names; if several share a label, their labels become their names.

    Example:
        >>> pair = [Subject("one", "FSRCNN"), Subject("two", "FSRCNN"), Subject("three", "CARN")]
        >>> [subject.label for subject in by_name(pair).values()]
        ['one', 'two', 'CARN']
    """
    listed = list(subjects)
    labels = [subject.label for subject in listed]
    return {
        s.name: s
        if labels.count(s.label) == 1
        else Subject(s.name, shortened(s.name), s.architecture, s.arm)
        for s in listed
    }


def shortened(text: str, longest: int = 16) -> str:
    """Return a text with an ellipsis instead of its middle, if it is too long.

    Args:
        text: The text.
        longest: Number of characters to return at most.

    Example:
        >>> shortened("004_lightweightSR_DIV2K_s64w8_SwinIR-S_x4")
        '004_ligh…R-S_x4'
    """
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[2 - half :]}"
