"""Read the tensors of a checkpoint file, ours or foreign, without ever running code from it.

Ours are `.safetensors` with a JSON header that holds all that `SRModel` needs. Foreign files hold
a network's weights somewhere inside: under a name such as `params_ema`, behind prefixes such as
`module.`, beside the weights of other parts. Only trying shows which tensors belong to the network,
so a `StateFile` offers candidates, and `first_fit` returns the first one that a network accepts or
that is recognized.
"""

import importlib
import json
import os
import re
from collections import Counter
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
_NESTED = 20  # largest depth of the dicts and lists in a file
_VISITS = 10  # largest number of places at which one of them is looked for
_CLAIM, _CLAIM_FREE = 10, 2**26  # times the file's size, and bytes beyond, that tensors may claim
_DEPTH = 5  # largest number of names to cut from the keys

# Names that torch.compile, FSDP and activation checkpointing add to keys.
_WRAPPER_NAMES = re.compile(r"(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# Scalars that profilers and averages keep beside the weights.
_COUNTERS = ("total_ops", "total_params", "n_averaged", "num_updates", "__flops__", "__params__")
# First names of the keys of other networks, which are trained or used beside an SR network.
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
        prefix: Place of the tensors in the file: the names of the dicts around them and the names
            cut from their keys, such as `params_ema.` or `state_dict.model.`; empty if they are as
            in the file.
        tensors: The tensors by their remaining keys.
        left_out: Keys of the same dict that are not among them.
        depth: Number of names cut from the keys.
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
    """The candidate that was chosen.

    Attributes:
        candidate: The candidate.
        found: What the test of `first_fit` returned for it.
        note: What was chosen and what was left out, for the user; empty if there was no choice.
    """

    candidate: Candidate
    found: T
    note: str


@dataclass(frozen=True)
class StateFile:
    """The tensors of a checkpoint file.

    Attributes:
        path: The file.
        groups: Place in the file, such as `params_ema` -> dict of tensors; the place is empty if
            the file is one dict of tensors.
        header: The header of our own files; empty for a foreign file.
    """

    path: Path
    groups: dict[str, dict[str, Tensor]]
    header: dict[str, Any] = field(default_factory=dict)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors of the first candidate, by their keys in the file."""
        return next(self.candidates()).tensors

    def candidates(self) -> Iterator[Candidate]:
        """Yield the candidates, with more and more names cut from the keys.

        All of a dict comes first, without tensors that belong to no network: counters of profilers,
        names that torch.compile adds to keys, a loss. Next is the same dict untouched, then the
        tensors behind the first name of the keys, such as `module.`, and so on.
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
        InputError: The file is not a checkpoint, is damaged, has no weights, or holds more than
            tensors and numbers.
    """
    path = Path(path)
    try:
        kind = kind_of_file(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if kind == "safetensors":
        return _read_safetensors(path)
    try:
        # From a file object: given a path, torch.load goes by the suffix.
        with torch.serialization.safe_globals(_numpy_globals()), open(path, "rb") as file:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can lead the unpickler to raise anything
        raise refused_pickle(path, error) from error
    groups = _groups(loaded)
    _check_claims(groups, path)
    if not groups:
        raise InputError(f"{path}: {_without_weights(loaded)}")
    return StateFile(path, groups)


def read_state(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file that `write_state` wrote: its tensors, and the header, empty for a foreign file.

    Raises:
        InputError: See `read_state_file`.
    """
    file = read_state_file(path)
    return file.tensors, file.header


def write_state(
    path: str | os.PathLike[str], state: Mapping[str, Tensor], header: Mapping[str, Any]
) -> None:
    """Write tensors and our header as `.safetensors`; the file appears whole or not at all.

    Args:
        path: The file.
        state: Tensors by keys.
        header: JSON values.

    Raises:
        InputError: The file has another suffix, or cannot be written.
    """
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
        file: Result of `read_state_file`.
        test: Returns None for tensors that do not fit.
        prefix: Consider only the candidates at this place, such as `net_g` or `params`.

    Returns:
        The candidate; None if nothing fits.

    Raises:
        InputError: Nothing is at `prefix`, or several candidates fit and differ.

    Example:
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
            # Candidates inside one that fits are parts of that network.
            inside = any(candidate.prefix.startswith(taken.prefix) for taken, _ in fits)
            if inside or candidate.is_average != average:
                continue
            found = test(candidate.tensors)
            if found is not None:
                fits.append((candidate, found))
        if fits:
            chosen, found = fits[0]
            tensors = chosen.tensors
            for other in (other.tensors for other, _ in fits[1:]):
                equal = tensors.keys() == other.keys() and all(
                    _are_equal(tensors[key], other[key]) for key in tensors
                )
                if prefix is None and not equal:
                    raise InputError(
                        f"{file.path}: holds several networks that fit, at "
                        f"{' and '.join(c.prefix.rstrip('.') for c, _ in fits)}; choose one, "
                        f"such as ",
                        Parameter("prefix", chosen.prefix.rstrip(".")),
                    )
            return Fit(chosen, found, _note(chosen, candidates))
    return None


def _numpy_globals() -> list[Any]:
    """Return the functions that rebuild NumPy's numbers and arrays, which run no code of a file."""
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
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: damaged, or no safetensors checkpoint: {error}") from error
    except Exception as error:  # types of numbers that this PyTorch does not have, say
        raise InputError(f"{path}: cannot be read as safetensors: {error}") from error
    if not isinstance(header, dict):
        raise InputError(f"{path}: its header is {header!r:.30}, expected a table of settings")
    return StateFile(path, {"": tensors}, header)


def _groups(
    loaded: object, place: str = "", depth: int = 0, visits: Counter[int] | None = None
) -> dict[str, dict[str, Tensor]]:
    """Return the dicts of tensors in a file's content, without the state of an optimizer.

    Args:
        loaded: The content, or a part of it.
        place: Its place in the file.
        depth: Number of dicts and lists that it lies in.
        visits: How often each of them was visited. A hostile file holds one list in many others,
            or even in itself.
    """
    if not isinstance(loaded, (Mapping, list, tuple)):
        return {}
    visits = Counter() if visits is None else visits
    visits[id(loaded)] += 1
    if depth > _NESTED or visits[id(loaded)] > _VISITS:
        return {}
    if not isinstance(loaded, Mapping):
        loaded = dict(enumerate(loaded))
    tensors: dict[str, Tensor] = {}
    groups: dict[str, dict[str, Tensor]] = {}
    for key, value in loaded.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            value = torch.from_numpy(value.copy())
        if torch.is_tensor(value) and _is_plain(value):
            tensors[str(key)] = value.detach()
        elif not _TRAINING.search(str(key)):
            groups |= _groups(value, f"{place}.{key}" if place else str(key), depth + 1, visits)
    of_a_network = any(_is_weight(value) for value in tensors.values())
    floats = any(value.is_floating_point() for value in tensors.values())
    if of_a_network or (floats and not place):
        groups = {place: tensors} | groups
    return groups


def _are_equal(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors hold the same numbers, also those of 8 bits."""
    if one.dtype == other.dtype and one.is_floating_point() and one.element_size() == 1:
        one, other = one.view(torch.uint8), other.view(torch.uint8)
    return torch.equal(one, other)


def _is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor holds its numbers one by one, as those of networks do."""
    strided = tensor.layout == torch.strided and tensor.device.type == "cpu"
    return strided and not tensor.is_quantized and not tensor.is_nested


def _check_claims(groups: Mapping[str, Mapping[str, Tensor]], path: Path) -> None:
    """Raise an error if tensors claim far more numbers than the file has room for.

    A number that is stored once can be repeated to any size, and fills the memory when it is
    copied.
    """
    sizes = (t.numel() * t.element_size() for tensors in groups.values() for t in tensors.values())
    claimed, size = sum(sizes), path.stat().st_size
    if claimed > _CLAIM_FREE + _CLAIM * size:
        raise InputError(
            f"{path}: its tensors claim {claimed} bytes in a file of {size}, expected weights"
        )


def _is_weight(tensor: Tensor) -> bool:
    return tensor.dim() > 1 and tensor.is_floating_point()


def _without_weights(loaded: object) -> str:
    """Describe the content of a file that holds no dict of tensors."""
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
    """Return the candidate without what belongs to no network; None if nothing changes."""
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
    """Return the candidates at a prefix that the user gave."""
    wanted = prefix.strip(".")
    found = [c for c in candidates if c.prefix.rstrip(".") == wanted] or [
        c for c in candidates if c.prefix.endswith(f".{wanted}.")
    ]
    if not found:
        known = dict.fromkeys(c.prefix.rstrip(".") for c in candidates if c.prefix)
        shown = ", ".join(list(known)[:6]) or "none"
        raise InputError(f"{path}: nothing at prefix {prefix!r}, expected one of: {shown}")
    return found


def _note(chosen: Candidate, candidates: list[Candidate]) -> str:
    """Describe which weights were chosen among several, and what was left out of their dict."""
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
