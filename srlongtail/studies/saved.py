"""Results saved beside their figures, so that only what has changed is recomputed."""

import contextlib
import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from srlongtail.image.dataset import ImageSet
from srlongtail.models.sr_images import AnyModel
from srlongtail.models.sr_model import SRModel
from srlongtail.models.state import read_state, write_state
from srlongtail.provenance import versions
from srlongtail.studies.current import FOLDER
from srlongtail.studies.source import source_sha256

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Saved:
    """Results of earlier runs, inside an output folder.

    Args:
        out: Folder of the pictures and tables.
        force: Recompute everything.

    Example:
        >>> import tempfile
        >>> saved = Saved(Path(tempfile.mkdtemp()))
        >>> [saved.result("sum", {"of": [1, 2]}, lambda: sum([1, 2])) for _ in range(2)]
        [3, 3]
    """

    out: Path
    force: bool = False

    def result(self, name: str, key: Mapping[str, Any] | None, compute: Callable[[], T]) -> T:
        """Return the result that was saved with the same key, or compute and save it.

        Args:
            name: Name of the file.
            key: All that the result depends on, as JSON values; see `key_of`. None saves nothing.
            compute: Returns the result: dataclasses and named tuples, mappings with names as keys,
                sequences, tables, tensors, arrays, numbers and texts.
        """
        if key is None:
            return compute()
        found = self.find(name, key)
        if found is None:
            found = compute()
            self.keep(name, key, found)
        return found

    def find(self, name: str, key: Mapping[str, Any]) -> Any | None:
        """Return the result that was saved with the same key; None if it cannot be read.

        Args:
            name: Name of the file.
            key: All that the result depends on.
        """
        if not self.force:
            # A damaged file can raise anything, and is as good as absent.
            with contextlib.suppress(Exception):
                tensors, header = read_state(self._path(name))
                if header["key"] == _sha256(key):
                    return _decode(header["result"], tensors)
        return None

    def keep(self, name: str, key: Mapping[str, Any], result: object) -> None:
        """Save a result.

        Args:
            name: Name of the file.
            key: All that the result depends on.
            result: See `result`.
        """
        tensors: dict[str, Tensor] = {}
        encoded = _encode(result, tensors)
        write_state(self._path(name), tensors, {"key": _sha256(key), "result": encoded})

    def _path(self, name: str) -> Path:
        return self.out / FOLDER / f"{name}.safetensors"


def key_of(
    module: str, models: Iterable[AnyModel], datasets: Iterable[ImageSet], **settings: Any
) -> dict[str, Any] | None:
    """Return all that a result depends on: inputs, settings, source code and versions.

    Args:
        module: Module whose function `compute` returns the result; see `source_sha256`.
        models: The networks. Nothing is saved for SR images, because reading them is quick.
        datasets: The images.
        settings: Settings as JSON values.

    Returns:
        The key; None if there are SR images, or if the code of a network or of the degradation is
        not in this package, because it may change unnoticed.
    """
    models, datasets = list(models), list(datasets)
    networks = [model for model in models if isinstance(model, SRModel)]
    foreign = len(networks) < len(models) or any(model.provenance.network for model in models)
    made_by = [*(model.network for model in networks), *(data.degradation for data in datasets)]
    if foreign or not all(map(_is_ours, made_by)):
        return None
    parts = {type(part).__module__ for model in networks for part in model.network.modules()}
    ours = sorted(name for name in parts if name.startswith("srlongtail."))
    return {
        "models": [identity(model) for model in networks],
        "data": [(data.name, data.scale, data.files_sha256) for data in datasets],
        "settings": settings,
        "source": source_sha256(module, *ours),
        "versions": versions(),
    }


def identity(model: SRModel) -> dict[str, Any]:
    """Return what tells a model from others: name, settings, modules and weights.

    Example:
        >>> from srlongtail.models.sr_model import bicubic
        >>> identity(bicubic(4))["name"]
        'bicubic'
    """
    digest = hashlib.sha256()
    for name, weights in model.network.state_dict().items():
        digest.update(name.encode())
        digest.update(weights.detach().cpu().numpy().tobytes())
    return {
        **{key: getattr(model, key) for key in ("name", "architecture", "arm", "degradation")},
        **model.settings,
        "arguments": dict(model.provenance.arguments),
        "modules": repr(model.network),
        "weights": digest.hexdigest(),
    }


def _is_ours(thing: object) -> bool:
    """Return whether all classes of a network or a degradation are of this package or torch."""
    parts = thing.modules() if isinstance(thing, torch.nn.Module) else [thing]
    kinds = {kind for part in parts for kind in type(part).__mro__}
    packages = {kind.__module__.partition(".")[0] for kind in kinds}
    return packages <= {"srlongtail", "torch", "builtins"}


def _sha256(key: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()


def _encode(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return a value as JSON: lists, and objects with one entry, their kind; arrays go apart."""
    if isinstance(value, np.ndarray | Tensor):
        key = str(len(tensors))
        tensors[key] = torch.as_tensor(value).detach().cpu().clone()
        return {"array" if isinstance(value, np.ndarray) else "tensor": key}
    if isinstance(value, pd.DataFrame):
        return {"table": value.to_dict("list")}
    if dataclasses.is_dataclass(value) or hasattr(value, "_asdict"):
        kind = type(value)
        names = getattr(kind, "_fields", None) or [f.name for f in dataclasses.fields(kind)]
        fields = {name: _encode(getattr(value, name), tensors) for name in names}
        return {f"{kind.__module__}:{kind.__name__}": fields}
    if isinstance(value, Mapping):
        return {"mapping": {name: _encode(item, tensors) for name, item in value.items()}}
    if isinstance(value, list | tuple):
        items = [_encode(item, tensors) for item in value]
        return {"tuple": items} if isinstance(value, tuple) else items
    return value


def _decode(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    match kind:
        case "array":
            return tensors[content].numpy()
        case "tensor":
            return tensors[content]
        case "table":
            return pd.DataFrame(content)
        case "tuple":
            return tuple(_decode(content, tensors))
    fields = {name: _decode(item, tensors) for name, item in content.items()}
    if kind == "mapping":
        return fields
    module, _, name = kind.partition(":")
    made = getattr(sys.modules[module], name)
    if not (dataclasses.is_dataclass(made) or hasattr(made, "_fields")):
        raise ValueError(f"no kind of saved value: {kind}")
    return made(**fields)
