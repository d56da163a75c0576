"""The model card: what a user states about a network, in TOML, in Python, or in short.

A card is itself a model: every command takes `ours.toml`, and `load_model` a `ModelCard`.

    # ours.toml
    weights = "weights.pth"
    network = "nets:make"
    arguments = {width = 32, depth = 4}
    scale = 4
    predicts = "residual"

The same in short is `weights.pth@nets:make(width=32, depth=4)`.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

from srlongtail.errors import InputError, suggestion
from srlongtail.image import DegradationName
from srlongtail.models.adapt import Channels, Predicts, Reading, ValueRange, check_size
from srlongtail.models.calls import NetworkCall
from srlongtail.models.facts import ARMS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class ModelCard:
    """What a user states about one network; settings that are None are detected.

    Attributes:
        weights: Checkpoint or folder of a training run. In a TOML file, the path is relative to
            that file.
        network: Network to build for the weights, or with weights of its own: a name of the
            catalog or `module:callable`, optionally with literal arguments in parentheses; see
            `NetworkCall`.
        arguments: More arguments of the network, by name.
        scale: SR pixels per LR pixel.
        predicts: Output of the network; see `Reading`, also for the settings up to `output`.
        value_range: White in its input and output.
        multiple: The LR image is padded so that its sides are multiples of this.
        channels: Color channels of its input and output.
        enlarged: Whether it takes an enlarged image.
        takes_scale: Whether it takes the scale beside the image.
        output: Index or key of the SR image among several outputs.
        prefix: Place of the weights in the file: the name of a dict in it, such as "params", or
            the prefix to cut from the keys; keys without it are left out.
        arm: Parts of FPL that the network was trained with: baseline, skip, static, learnable, two
            of these joined by +, or FPL.
        degradation: Degradation it was trained for: "bicubic", or "blur-noise" (Eq. 8).
        name: Name of the model in tables and figures.
        file: TOML file that the card was read from. Names of code in such a file are not trusted,
            because a stranger may have written it; those given in Python or on the command line
            are.

    Raises:
        InputError: A value has the wrong type, or neither weights nor network is given.

    Example:
        >>> ModelCard(network="fsrcnn", scale=4).name is None
        True
    """

    weights: str | os.PathLike[str] | None = None
    network: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    scale: int | None = None
    predicts: Predicts | None = None
    value_range: ValueRange | None = None
    multiple: int | None = None
    channels: Channels | None = None
    enlarged: bool | None = None
    takes_scale: bool | None = None
    output: int | str | None = None
    prefix: str | None = None
    arm: str | None = None
    degradation: DegradationName | None = None
    name: str | None = None
    file: Path | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for key in ("network", "prefix", "name", "arm"):
            self._expect(key, isinstance(getattr(self, key), str), "text")
        self._expect("weights", isinstance(self.weights, str | os.PathLike), "a path")
        if self.scale is not None:
            check_size("scale", self.scale, self.label)
        if self.multiple is not None:
            check_size("multiple", self.multiple, self.label)
        try:
            Reading(**self.reading)
        except InputError as error:
            raise InputError(f"{self.label}: {error}") from error
        if not isinstance(self.arguments, Mapping):
            raise InputError(f"{self.label}: arguments {self.arguments!r}, expected a table")
        named = str(self.name)
        fits_one_line = bool(named) and named.isprintable() and not set(named) & set("/\\")
        self._expect("name", fits_one_line, "one line of text without slashes")
        self._expect("arm", self.arm in ARMS, f"one of {', '.join(ARMS)}")
        degradations = get_args(DegradationName)
        self._expect("degradation", self.degradation in degradations, " or ".join(degradations))
        if self.weights is None and self.network is None:
            raise InputError(f"{self.label}: neither weights nor network, expected one of them")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "ModelCard":
        """Read a card from a TOML file.

        The path of the weights is relative to the file. It may be absolute or lead to another
        folder, because weights are only ever read as tensors.

        Raises:
            InputError: The file does not exist or is not TOML, a key is unknown, or a value has the
                wrong type.
        """
        path = Path(path)
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:  # ValueError: numbers of too many digits
            raise InputError(f"{path}: not a TOML file: {error}") from error
        for key in values:
            if key not in KEYS:
                hint = suggestion(key, KEYS) or f", expected one of {', '.join(KEYS)}"
                raise InputError(f"{path}: unknown key {key!r}{hint}")
        if isinstance(values.get("weights"), str):
            values["weights"] = path.parent / values["weights"]
        return cls(**values, file=path)

    @property
    def label(self) -> str:
        """Name of the card in errors."""
        return str(self.file or self.name or self.weights or self.network or "model card")

    @property
    def reading(self) -> dict[str, Any]:
        """The settings that the card states, as arguments of `Reading`."""
        stated = {f.name: getattr(self, f.name) for f in fields(Reading)}
        return {key: value for key, value in stated.items() if value is not None}

    @property
    def call(self) -> NetworkCall | None:
        """The network to build, with all arguments; None if the weights determine it.

        Raises:
            InputError: The text does not name a network, or an argument is given twice.
        """
        if self.network is None:
            return None
        try:
            call = NetworkCall.parse(self.network)
        except InputError as error:
            raise error.about(self.label) from error
        twice = [key for key in self.arguments if key in call.named]
        if twice:
            raise InputError(f"{self.label}: argument {twice[0]!r} is given twice")
        return NetworkCall(call.target, call.positional, {**call.named, **self.arguments})

    def _expect(self, key: str, holds: bool, expected: str) -> None:
        value = getattr(self, key)
        if value is not None and not holds:
            raise InputError(f"{self.label}: {key} {value!r}, expected {expected}")


KEYS = tuple(f.name for f in fields(ModelCard) if f.name != "file")
"""The keys of a card."""
