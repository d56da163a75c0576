"""A training run described by plain data: the paper's recipes by name, and TOML in and out."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from srlongtail.errors import InputError, suggestion
from srlongtail.files import replacing
from srlongtail.image import DegradationName
from srlongtail.models.facts import LOSSES_BY_PARTS, loss_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class Recipe:
    """Everything a training run depends on. Intervals count iterations.

    The defaults are the paper's, for FSRCNN without Focal Pixel Learning (FPL).

    Attributes:
        name: name of the run and its checkpoint.
        network: architecture, a name in the catalog.
        arguments: arguments of the network, besides the scale.
        scale: SR pixels per LR pixel along each axis.
        degradation: how LR is made from HR: "bicubic" (MATLAB's) or "blur-noise" (Eq. 8).
        skip: predict the residual over bicubic (Eq. 6) instead of the image.
        loss: l1, l2, charbonnier, fpl, static, learnable, sobel, error-power, hardest-half,
            fpl-cut, focal-frequency, gradient or ssim-l1; a control of the loss bench; or
            module:callable for one of your own. Default (empty): the weighted L1 or L2 of static,
            learnable and p, which l1, l2, static, learnable and fpl stand for.
        static: weight pixels by bicubic's error (Eq. 3).
        learnable: weight pixels by the network's own error (Eq. 4).
        alpha_sp: smallest weight by the static prior.
        gamma_sp: growth of the weight with the static prior.
        alpha_lp: smallest weight by the learnable prior.
        gamma_lp: growth of the weight with the learnable prior.
        scope: priors are normalized over the whole "batch", as in the authors' code, or "image".
        p: 1 for L1, 2 for L2; also behind the weights of another loss.
        data: folders of training images.
        half: 1 or 2 to train on this half of the images only; 0 for all. The images are always
            split in the same random way. Two runs, one on each half, show over-fitting: see
            'srlongtail fitting'.
        images: number of images to train on, drawn at random from those of the data, or of the
            half; 0 for all.
        hold_out: leave out the 50 images on which 'srlongtail ablate losses' compares losses; the
            package's zoo/held-out.txt names them.
        pyramid: sizes at which every training image is used; the paper's are 1 .9 .8 .7 .6.
        patch: side of a training patch, in LR pixels.
        batch: patches per iteration, over all processes.
        accumulate: number of parts that a process splits its batch into, to save memory. The
            scope "batch" and batch normalization then cover one part.
        iterations: number of iterations.
        learning_rate: initial learning rate of Adam.
        minimum_rate: final learning rate, reached along a half cosine.
        perturbation: relative size of noise on the initial weights, such as 1e-6. Runs that differ
            in nothing else show how far apart equal losses end.
        ema: decay of the moving average of the weights that is validated and kept; 0 for none.
        seed: seed of the initialization and of the patches.
        precision: precision of the forward pass; "auto" is bfloat16 on CUDA, and on CPUs that have
            it and are faster with it, else float32. A run keeps its precision when it is resumed.
        compile: compile network and loss with torch.compile.
        cuda_graph: on CUDA, record an iteration once and replay it.
        validation: data folder to validate on; default (empty): the built-in photos.
        log_every: interval of the rows in log.csv; 0 for a thousand rows, at least 50 apart.
        validate_every: interval of validations; 0 for twenty, at least 500 apart.
        save_every: interval at which the state is saved; a run is resumed from it.
        keep_every: interval of checkpoints to keep for later analysis; 0 for none.
        loss_code: hash of the file with your own loss, set by the run itself.

    >>> find_recipe("fsrcnn-fpl-x4").learning_rate
    0.001
    """

    name: str = "fsrcnn-x4"
    network: str = "fsrcnn"
    arguments: dict[str, Any] = field(default_factory=dict)
    scale: int = 4
    degradation: DegradationName = "bicubic"
    skip: bool = False
    loss: str = ""
    static: bool = False
    learnable: bool = False
    alpha_sp: float = 0.5
    gamma_sp: float = 1.0
    alpha_lp: float = 1.0
    gamma_lp: float = 1.0
    scope: Literal["batch", "image"] = "batch"
    p: int = 1
    data: tuple[str, ...] = ()
    half: int = 0
    images: int = 0
    hold_out: bool = False
    pyramid: tuple[float, ...] = (1.0,)
    patch: int = 32
    batch: int = 16
    accumulate: int = 1
    iterations: int = 500_000
    learning_rate: float = 1e-3
    minimum_rate: float = 1e-7
    perturbation: float = 0.0
    ema: float = 0.0
    seed: int = 0
    precision: Precision = "auto"
    compile: bool = False
    cuda_graph: bool = True
    validation: str = ""
    log_every: int = 0
    validate_every: int = 0
    save_every: int = 1000
    keep_every: int = 0
    loss_code: str = ""

    def __post_init__(self) -> None:
        # One run has one description: the names of FPL's parts become the settings of the parts.
        for key, value in LOSSES_BY_PARTS.get(self.loss, {}).items():
            object.__setattr__(self, key, value)
        if self.loss in LOSSES_BY_PARTS:
            object.__setattr__(self, "loss", "")
        parts = not self.loss or not (self.static or self.learnable)
        self._expect("loss", parts, "none where static or learnable is on")
        for key in ("patch", "batch", "accumulate", "iterations", "save_every", "scale"):
            self._expect(key, getattr(self, key) >= 1, "at least 1")
        self._expect("half", self.half in (0, 1, 2), "0, 1 or 2")
        for key in ("log_every", "validate_every", "keep_every", "seed", "images"):
            self._expect(key, getattr(self, key) >= 0, "0 or more")
        self._expect("p", self.p in (1, 2), "1 or 2")
        self._expect("arguments", "scale" not in self.arguments, "the scale apart from them")
        self._expect("perturbation", self.perturbation >= 0, "0 or more")
        self._expect("ema", 0 <= self.ema < 1, "0 <= ema < 1")
        self._expect("minimum_rate", 0 <= self.minimum_rate <= self.learning_rate, "0 to the rate")
        self._expect("learning_rate", self.learning_rate > 0, "above 0")
        sizes = self.pyramid
        self._expect("pyramid", bool(sizes) and all(0 < s <= 1 for s in sizes), "sizes up to 1")
        self._expect("batch", self.batch % self.accumulate == 0, "a multiple of accumulate")
        for key in ("degradation", "scope", "precision"):
            choices = get_args(_kinds()[key])
            self._expect(key, getattr(self, key) in choices, " or ".join(map(repr, choices)))

    def _expect(self, key: str, holds: bool, expected: str) -> None:
        if not holds:
            raise InputError(f"{self.name}: {key} {getattr(self, key)!r}, expected {expected}")

    @property
    def loss_name(self) -> str:
        """Return the name of the loss, also of one that static, learnable and p describe.

        Example:
            >>> find_recipe("fsrcnn-fpl-x4").loss_name
            'fpl'
        """
        return loss_of(vars(self))

    @property
    def log_interval(self) -> int:
        """Return the iterations from one row of log.csv to the next."""
        return self.log_every or max(50, self.iterations // 1000)

    @property
    def validation_interval(self) -> int:
        """Return the iterations from one validation to the next."""
        return self.validate_every or max(500, self.iterations // 20)

    def is_due(self, interval: int, iteration: int) -> bool:
        """Return whether something is due after an iteration: at each multiple and at the end.

        An interval of 0 is never due.
        """
        return interval > 0 and (iteration % interval == 0 or iteration == self.iterations)

    def changed(self, changes: Mapping[str, Any], source: str = "recipe") -> "Recipe":
        """Return this recipe with other values, converted from those of TOML and JSON.

        A loss replaces the one that static, learnable and p describe.

        Raises:
            InputError: An unknown key, a value of the wrong kind, or a loss beside static,
                learnable or p that contradict it.

        Example:
            >>> Recipe().changed({"iterations": 10, "pyramid": [1, 0.5]}).pyramid
            (1.0, 0.5)
        """
        hints = _kinds()
        for key in changes:
            if key not in hints:
                raise InputError(f"{source}: unknown key {key!r}{suggestion(key, hints)}")
        new = {k: _convert(v, hints[k], f"{source}: {k}") for k, v in changes.items()}
        if new.get("loss"):
            parts = LOSSES_BY_PARTS.get(new["loss"], {"static": False, "learnable": False})
            for key, value in parts.items():
                if new.setdefault(key, value) != value:
                    raise InputError(
                        f"{source}: {key} {new[key]!r}, expected {value!r} with loss {new['loss']}"
                    )
        return replace(self, **new)

    def as_dict(self) -> dict[str, Any]:
        """Return all settings as JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def without_paths(self) -> dict[str, Any]:
        """Return all settings except the paths, which differ between machines."""
        return {k: v for k, v in self.as_dict().items() if k not in ("data", "validation")}


# What may differ between a run and its resumption: nothing that the weights depend on. Whether
# the training images are still the same is checked by their names.
HARMLESS = frozenset(
    {"name", "data", "validation", "log_every", "validate_every", "save_every", "keep_every"}
)


def differences(old: Recipe, new: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return the differing settings that the weights depend on: key -> (old, new).

    Example:
        >>> differences(Recipe(), Recipe(seed=1, keep_every=100))
        {'seed': (0, 1)}
    """
    return {
        f.name: (getattr(old, f.name), getattr(new, f.name))
        for f in fields(Recipe)
        if f.name not in HARMLESS and getattr(old, f.name) != getattr(new, f.name)
    }


# Iterations and learning rate. The paper names none for BSRN: those are of BSRN's own authors.
_SCHEDULES = {
    "fsrcnn": (500_000, 1e-3),
    "carn": (1_000_000, 1e-3),
    "srresnet": (1_000_000, 2e-4),
    "msrn": (1_000_000, 2e-4),
    "swinir": (500_000, 2e-4),
    "bsrn": (1_000_000, 1e-3),
}
_ARMS: dict[str, dict[str, Any]] = {
    "": {},
    "-fpl": {"skip": True, "static": True, "learnable": True},
    "-skip": {"skip": True},
}
_TASKS: dict[str, dict[str, Any]] = {
    "-x4": {"scale": 4},
    "-x2": {"scale": 2},
    "-x4-degraded": {"scale": 4, "degradation": "blur-noise"},
}


@cache  # three times a recipe would be a fifth of the time of `srlongtail --help`
def _kinds() -> dict[str, Any]:
    """Return the type of each setting of a recipe."""
    return get_type_hints(Recipe)


def _named_recipes() -> dict[str, Recipe]:
    return {
        (name := network + arm + task): Recipe(
            name=name,
            network=network,
            iterations=iterations,
            learning_rate=rate,
            **_TASKS[task],
            **_ARMS[arm],
        )
        for (network, (iterations, rate)), task, arm in product(_SCHEDULES.items(), _TASKS, _ARMS)
    }


RECIPES: dict[str, Recipe] = _named_recipes()
"""The paper's runs by name: network, arm (none: baseline, `-fpl`, `-skip`: residual only), task."""


def find_recipe(source: str | os.PathLike[str]) -> Recipe:
    """Return a recipe by its name (see `RECIPES`) or from a TOML file.

    Raises:
        InputError: No recipe of this name; similar names are suggested.
    """
    text = os.fspath(source)
    if text.endswith(".toml"):
        return read_recipe(text)
    if text not in RECIPES:
        known = "one that 'srlongtail train --list' shows, or a .toml file"
        raise InputError(f"unknown recipe {text!r}{suggestion(text, RECIPES)}, expected {known}")
    return RECIPES[text]


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read a recipe from TOML. Missing keys have the values of the recipe that `base` names.

    Raises:
        InputError: No such file, no TOML, an unknown key, or a value of the wrong kind.
    """
    path = Path(path)
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a TOML file: {error}") from error
    base = settings.pop("base", None)
    start = Recipe(name=path.stem) if base is None else find_recipe(str(base))
    return start.changed(settings, source=str(path))


def write_recipe(path: str | os.PathLike[str], recipe: Recipe) -> None:
    """Write a recipe as TOML that `read_recipe` reads back."""
    settings = recipe.as_dict()
    arguments = settings.pop("arguments")
    lines = [f"{key} = {_toml(value)}" for key, value in settings.items()]
    lines += ["", "[arguments]", *(f"{key} = {_toml(value)}" for key, value in arguments.items())]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _toml(value: Any) -> str:
    """A string, number, boolean or list as JSON, which is TOML, too, unless it has surrogates."""
    return json.dumps(value, ensure_ascii=False)


_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "a list",
    dict: "a table",
}


def _convert(value: Any, hint: Any, label: str) -> Any:
    """Check a value against a field's annotation; whole numbers become floats, lists tuples."""
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(_convert(item, get_args(hint)[0], label) for item in value)
    if hint is float and type(value) is int:
        return float(value)
    if get_origin(hint) is Literal:
        hint = str  # which of the words, the recipe checks itself
    kind = get_origin(hint) or hint
    # True is an int to Python, but not to the person who wrote it.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{label} {value!r}, expected {_KINDS[kind]}")
    return value
