"""Read the tensors of a checkpoint file, ours or foreign, without ever running code from it.

Ours are `.safetensors` whose header holds, as JSON, all that `SRModel` has to know. Foreign ones
hold a network's weights somewhere inside: under a name such as `params_ema`, behind prefixes such
as `module.`, beside the weights of other parts. Which tensors are the network's can only be told
by trying, so a `StateFile` offers candidates, and `first_fit` takes the first that a network or a
recogniser accepts.
"""

import importlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from srlongtail.errors import InputError, Parameter, with_article
from srlongtail.files import replacing
from srlongtail.models.file_kinds import kind_of_file, refused_pickle

T = TypeVar("T")

_HEADER_KEY = "srlongtail"
_DEPTH = 5  # how many names are cut from the keys at most

# What torch.compile, FSDP and activation checkpointing put between the names of a network's parts.
_WRAPPER_NAMES = re.compile(r"(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# Scalars that profilers and averages keep beside the weights.
_COUNTERS = ("total_ops", "total_params", "n_averaged", "num_updates", "__flops__", "__params__")
# First names of what is trained or used beside an SR network.
_OTHER_PARTS = re.compile(
    r"loss|criterion|vgg|lpips|percep|discrim|metric|ssim|^(net_?)?d(is)?$", re.IGNORECASE
)
_AVERAGE = re.compile(
    r"(?<![A-Za-z])(?:ema|EMA|Ema|swa|averaged?|shadow|polyak)(?![a-z])|(?<=[a-z])(?:EMA|Ema)(?![a-z])"
)
_TRAINING = re.compile(
    r"optim(?!ized|al)|sched|(?<![a-z])scaler|^amp(_|$)|^(exp_avg|momentum_buffer)", re.IGNORECASE
)


@dataclass(frozen=True)
class Candidate:
    """Tensors of a file that may be those of one network.

    Attributes:
        prefix: where they lie in the file: the names of the dicts around them and what was cut
            from their keys, such as `params_ema.` or `state_dict.model.`; empty where they are as
            in the file.
        tensors: by the keys that are left.
        left_out: keys of the same dict that are not among them.
        depth: how many names were cut from the keys.
    """

    prefix: str
    tensors: dict[str, Tensor]
    left_out: tuple[str, ...] = ()
    depth: int = 0

    @property
    def is_average(self) -> bool:
        """Whether these are weights averaged over the training."""
        return _AVERAGE.search(self.prefix) is not None


@dataclass(frozen=True)
class Fit(Generic[T]):
    """The candidate that was taken.

    Attributes:
        candidate: the tensors.
        found: what the test of `first_fit` returned for them.
        note: what was chosen and what was left out, for the user; empty where nothing was.
    """

    candidate: Candidate
    found: T
    note: str


@dataclass(frozen=True)
class StateFile:
    """The tensors of a checkpoint file.

    Attributes:
        path: the file.
        groups: the dicts of tensors in the file by where they lie, such as `params_ema`; the key
            is empty for a file that is one dict of tensors.
        header: what our own files say about themselves; empty for a foreign file.
    """

    path: Path
    groups: dict[str, dict[str, Tensor]]
    header: dict[str, Any] = field(default_factory=dict)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors of the first candidate, by their keys in the file."""
        return next(self.candidates()).tensors

    def candidates(self) -> Iterator[Candidate]:
        """Yield what may be a network's tensors, with more and more names cut from the keys.

        All of a dict comes first, without what belongs to no network: profilers' counters, the
        names that torch.compile puts into keys, a loss. Then the same untouched, and then what
        lies behind the first name of the keys, such as `module.`, and so on.
        """
        level = [
            Candidate(f"{place}." if place else "", tensors)
            for place, tensors in self.groups.items()
        ]
        for _ in range(_DEPTH):
            for candidate in level:
                cleaned = _cleaned(candidate)
                if cleaned is not None:
                    yield cleaned
                yield candidate
            level = [inner for candidate in level for inner in _inside(candidate)]


def read_state_file(path: str | os.PathLike[str]) -> StateFile:
    """Read a checkpoint's tensors, whatever the file's suffix.

    Raises:
        InputError: no checkpoint, a damaged one, one without weights, or one that holds more
            than tensors and numbers.
    """
    path = Path(path)
    if kind_of_file(path) == "safetensors":
        return _read_safetensors(path)
    try:
        # From a file object: given a path, torch.load goes by the suffix.
        with torch.serialization.safe_globals(_numpy_globals()), open(path, "rb") as file:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can lead the unpickler to raise anything
        raise refused_pickle(path, error) from error
    groups = _groups(loaded)
    if not groups:
        raise InputError(f"{path}: {_without_weights(loaded)}")
    return StateFile(path, groups)


def read_state(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_state` wrote: the tensors and our header, empty for a foreign file.

    Raises:
        InputError: as `read_state_file`.
    """
    file = read_state_file(path)
    return file.tensors, file.header


def write_state(
    path: str | os.PathLike[str], state: Mapping[str, Tensor], header: Mapping[str, Any]
) -> None:
    """Write tensors and our header as `.safetensors`; the file appears whole or not at all."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: models are saved as .safetensors, expected that ending")
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, {_HEADER_KEY: json.dumps(header)})


def first_fit(
    file: StateFile, test: Callable[[dict[str, Tensor]], T | None], prefix: str | None = None
) -> Fit[T] | None:
    """Return the first of a file's candidates that passes a test, averages before raw weights.

    Args:
        file: what `read_state_file` returned.
        test: returns None for tensors that do not fit.
        prefix: take only the candidates that lie here, such as `net_g` or `params`.

    Returns:
        None where nothing fits.

    Raises:
        InputError: nothing lies at `prefix`, or several candidates fit and differ.

    >>> file = StateFile(Path("a.pth"), {"": {"module.w": torch.ones(2, 2)}})
    >>> first_fit(file, lambda tensors: "w" in tensors or None).candidate.prefix
    'module.'
    """
    candidates = list(file.candidates())
    if prefix is not None:
        candidates = _at(prefix, candidates, file.path)
    for average in (True, False):
        fits: list[tuple[Candidate, T]] = []
        for candidate in candidates:
            # What lies inside a candidate that fits is a part of that network.
            inside = any(candidate.prefix.startswith(taken.prefix) for taken, _ in fits)
            if inside or candidate.is_average != average:
                continue
            found = test(candidate.tensors)
            if found is not None:
                fits.append((candidate, found))
        if fits:
            chosen, found = fits[0]
            for other, _ in fits[1:]:
                if prefix is None and not _equal(chosen.tensors, other.tensors):
                    raise InputError(
                        f"{file.path}: holds several networks that fit, at "
                        f"{' and '.join(c.prefix.rstrip('.') for c, _ in fits)}; choose one, "
                        f"such as ",
                        Parameter("prefix", chosen.prefix.rstrip(".")),
                    )
            return Fit(chosen, found, _note(chosen, candidates))
    return None


def _numpy_globals() -> list[Any]:
    """Return what rebuilds numpy's numbers and arrays of numbers, which runs no code of a file."""
    functions = {"scalar", "_reconstruct"}
    modules = ("numpy.core.multiarray", "numpy._core.multiarray")  # by numpy's version
    core = importlib.import_module(modules[np.lib.NumpyVersion(np.__version__) >= "2.0.0"])
    rebuilding = [(getattr(core, f), f"{module}.{f}") for f in functions for module in modules]
    dtypes = {type(np.dtype(code)) for code in np.typecodes["All"] if code not in "OV"}
    return [*rebuilding, np.ndarray, np.dtype, *dtypes]


def _read_safetensors(path: Path) -> StateFile:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            header = json.loads((file.metadata() or {}).get(_HEADER_KEY, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: damaged, or no safetensors checkpoint: {error}") from error
    return StateFile(path, {"": tensors}, header)


def _groups(loaded: object, place: str = "") -> dict[str, dict[str, Tensor]]:
    """Find the dicts of tensors in what a file holds, but for the state of an optimizer."""
    if isinstance(loaded, (list, tuple)):
        loaded = dict(enumerate(loaded))
    if not isinstance(loaded, Mapping):
        return {}
    tensors: dict[str, Tensor] = {}
    groups: dict[str, dict[str, Tensor]] = {}
    for key, value in loaded.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            value = torch.from_numpy(value.copy())
        if torch.is_tensor(value):
            tensors[str(key)] = value.detach()
        elif not _TRAINING.search(str(key)):
            groups |= _groups(value, f"{place}.{key}" if place else str(key))
    of_a_network = any(_is_weight(value) for value in tensors.values())
    floats = any(value.is_floating_point() for value in tensors.values())
    if of_a_network or (floats and not place):
        groups = {place: tensors} | groups
    return groups


def _is_weight(tensor: Tensor) -> bool:
    return tensor.dim() > 1 and tensor.is_floating_point()


def _without_weights(loaded: object) -> str:
    """Say what a file holds in which there is no dict of tensors."""
    if not isinstance(loaded, Mapping):
        kind = with_article(type(loaded).__name__)
        return f"holds {kind}, expected a dict of tensors (a state dict)"
    keys = [str(key) for key in loaded]
    holds = ", ".join(keys[:4]) or "nothing"
    if any(_TRAINING.search(key) for key in keys):
        iteration = loaded.get("iter")
        beside = f"net_g_{iteration}.pth" if isinstance(iteration, int) else "net_g_latest.pth"
        return (
            f"a training state ({holds}) without weights, expected the weights that were saved "
            f"beside it (by BasicSR: models/{beside})"
        )
    return f"a dict of {holds}, expected a dict of tensors (a state dict)"


def _cleaned(candidate: Candidate) -> Candidate | None:
    """Return the candidate without what belongs to no network, None where there is nothing."""
    others = tuple(
        key
        for key, value in candidate.tensors.items()
        if (key.rpartition(".")[2] in _COUNTERS and value.numel() == 1)
        or ("." in key and _OTHER_PARTS.search(key.partition(".")[0]))
    )
    tensors = {
        _WRAPPER_NAMES.sub("", key): value
        for key, value in candidate.tensors.items()
        if key not in others
    }
    if tensors.keys() == candidate.tensors.keys() or not tensors:
        return None
    left_out = (*candidate.left_out, *others)
    return Candidate(candidate.prefix, tensors, left_out, candidate.depth)


def _inside(candidate: Candidate) -> Iterator[Candidate]:
    """Yield the candidates with the first name of the keys cut."""
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in candidate.tensors.items():
        name, _, rest = key.partition(".")
        if rest:
            parts.setdefault(name, {})[rest] = value
    weights = [
        name for name, part in parts.items() if any(_is_weight(value) for value in part.values())
    ]
    for name in weights:
        # A numbered part is one of a sequence, which only stands alone where it is the only one.
        if len(weights) > 1 and name.isdigit():
            continue
        others = (key for key in candidate.tensors if not key.startswith(f"{name}."))
        left_out = (*candidate.left_out, *others)
        yield Candidate(f"{candidate.prefix}{name}.", parts[name], left_out, candidate.depth + 1)


def _at(prefix: str, candidates: list[Candidate], path: Path) -> list[Candidate]:
    """Choose the candidates that lie at a prefix that the user gave."""
    wanted = prefix.strip(".")
    found = [c for c in candidates if c.prefix.rstrip(".") == wanted] or [
        c for c in candidates if c.prefix.endswith(f".{wanted}.")
    ]
    if not found:
        known = dict.fromkeys(c.prefix.rstrip(".") for c in candidates if c.prefix)
        shown = ", ".join(list(known)[:6]) or "none"
        raise InputError(f"{path}: nothing lies at prefix {prefix!r}, expected one of: {shown}")
    return found


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def _note(chosen: Candidate, candidates: list[Candidate]) -> str:
    """Say which of several weights were taken, and what of the same dict was left out."""
    notes = []
    unfit = dict.fromkeys(c.prefix.rstrip(".") for c in candidates if c.is_average and not c.depth)
    if unfit and not chosen.is_average:
        notes.append(f"the averaged weights at {', '.join(unfit)} do not fit")
    alike = [
        c.prefix.rstrip(".") or "the file's own keys"
        for c in candidates
        if c.tensors is not chosen.tensors and c.tensors.keys() == chosen.tensors.keys()
        if chosen.is_average and not c.is_average
    ]
    if alike:
        notes.append(f"averaged weights at {chosen.prefix.rstrip('.')}, not {', '.join(alike)}")
    counts: dict[str, int] = {}
    for key in chosen.left_out:
        last = key.rpartition(".")[2]
        name = last if last in _COUNTERS else key.partition(".")[0]
        if name in {place.rpartition(".")[2] for place in alike}:
            continue
        counts[name] = counts.get(name, 0) + 1
    if counts:
        parts = ", ".join(f"{name} ({count})" for name, count in counts.items())
        notes.append(f"tensors of other parts left out: {parts}")
    return "; ".join(notes)
