"""Results kept beside what is drawn from them, so that only what changed is computed anew."""

import contextlib
import dataclasses
import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from srlongtail.models.sr_model import SRModel
from srlongtail.models.state import read_state, write_state
from srlongtail.provenance import versions

FOLDER = ".saved"

_PACKAGE = Path(__file__).parents[1]
_ONLY_SHOWS = ("plots", "cli")  # what of the package no result depends on

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Saved:
    """Results of earlier runs, below an output folder.

    Args:
        out: the folder that pictures and tables go to.
        types: the dataclasses and named tuples that results are made of.
        force: compute everything again.

    >>> import tempfile
    >>> saved = Saved(Path(tempfile.mkdtemp()))
    >>> [saved.result("sum", {"of": [1, 2]}, lambda: sum([1, 2])) for _ in range(2)]
    [3, 3]
    """

    out: Path
    types: tuple[type, ...] = ()
    force: bool = False

    def result(self, name: str, key: Mapping[str, Any], compute: Callable[[], T]) -> T:
        """What was saved under a name for the same key, code and versions; else computed and saved.

        Args:
            name: of the file.
            key: all that the result depends on, as JSON takes it.
            compute: makes the result: dataclasses, mappings, sequences, tables, tensors, numbers.
        """
        path = self.out / FOLDER / f"{name}.safetensors"
        made_by = {"code": code_sha256(), **versions()}
        sha256 = hashlib.sha256(json.dumps({**key, **made_by}).encode()).hexdigest()
        if not self.force and path.is_file():
            # A damaged file can raise anything, and is as good as absent.
            with contextlib.suppress(Exception):
                tensors, header = read_state(path)
                if header["key"] == sha256:
                    return _decode(header["result"], tensors, {t.__name__: t for t in self.types})
        result = compute()
        tensors = {}
        write_state(path, tensors, {"key": sha256, "result": _encode(result, tensors)})
        return result


def identity(model: SRModel) -> dict[str, Any]:
    """What tells a model from others: its name, conventions, weights and, if it is foreign, code.

    >>> from srlongtail.models.sr_model import bicubic
    >>> identity(bicubic(4))["name"]
    'bicubic'
    """
    digest = hashlib.sha256()
    for name, weights in model.network.state_dict().items():
        digest.update(name.encode())
        digest.update(weights.detach().cpu().numpy().tobytes())
    settings = (
        *("name", "scale", "predicts", "value_range", "channels", "multiple"),
        *("architecture", "arm", "degradation"),
    )
    known = {key: getattr(model, key) for key in settings}
    return {
        **known,
        "arguments": dict(model.provenance.arguments),
        "network": model.provenance.network,
        "modules": repr(model.network),
        "code": _foreign_code_sha256(model.network),
        "weights": digest.hexdigest(),
    }


@cache
def code_sha256() -> str:
    """A hash of the package's own code, without what only shows results."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        inside = path.relative_to(_PACKAGE)
        if inside.parts[0] not in _ONLY_SHOWS:
            digest.update(f"{inside.as_posix()}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _foreign_code_sha256(network: nn.Module) -> str:
    """A hash of the code of a network's classes that are neither ours nor torch's.

    With a class, the whole file counts that it stands in: its `forward` may call what is there.
    """
    kinds = {kind for module in network.modules() for kind in type(module).__mro__}
    ours = ("srlongtail", "torch", "builtins")
    foreign = [kind for kind in kinds if kind.__module__.partition(".")[0] not in ours]
    return hashlib.sha256("\n".join(sorted({_code(kind) for kind in foreign})).encode()).hexdigest()


def _code(kind: type) -> str:
    """The source of the file that a class stands in, or else what its methods were compiled to."""
    try:
        return inspect.getsource(sys.modules[kind.__module__])
    except (KeyError, OSError, TypeError):  # typed into a notebook or a shell, or never a file
        methods = [value.__code__ for value in vars(kind).values() if inspect.isfunction(value)]
        return repr([list(_instructions(method)) for method in methods])


def _instructions(code: CodeType) -> Iterator[Any]:
    yield from (code.co_code, code.co_names)
    for constant in code.co_consts:
        yield list(_instructions(constant)) if isinstance(constant, CodeType) else constant


def _encode(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON takes it; arrays go to `tensors`."""
    if isinstance(value, np.ndarray | Tensor):
        key = str(len(tensors))
        tensors[key] = torch.as_tensor(value).detach().cpu().clone()
        return {"array" if isinstance(value, np.ndarray) else "tensor": key}
    if isinstance(value, pd.DataFrame):
        return {"table": value.to_dict("list")}
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, "fields": _encode(fields, tensors)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {"type": type(value).__name__, "fields": _encode(value._asdict(), tensors)}
    if isinstance(value, Mapping):
        return {"mapping": [[key, _encode(item, tensors)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_encode(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_encode(item, tensors) for item in value]
    return value


def _decode(value: Any, tensors: Mapping[str, Tensor], types: Mapping[str, type]) -> Any:
    if isinstance(value, list):
        return [_decode(item, tensors, types) for item in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"array": key}:
            return tensors[key].numpy()
        case {"tensor": key}:
            return tensors[key]
        case {"table": columns}:
            return pd.DataFrame(columns)
        case {"type": name, "fields": fields}:
            return types[name](**_decode(fields, tensors, types))
        case {"mapping": items}:
            return {key: _decode(item, tensors, types) for key, item in items}
        case {"tuple": items}:
            return tuple(_decode(item, tensors, types) for item in items)
    raise ValueError(f"no saved value: {value}")
