"""Read the tensors of a checkpoint file, ours or foreign, without ever running code from it.

Ours are `.safetensors` whose header holds, as JSON, all that `SRModel` has to know. Foreign ones
are dicts of tensors in the wrappings people use.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.files import replacing

_HEADER_KEY = "srlongtail"
_WRAPPINGS = ("params_ema", "params", "state_dict", "model_state_dict", "model", "net")
_PREFIXES = ("module.", "_orig_mod.", "network.", "model.")


def read_state(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint's tensors, unwrapped, and our header (empty for a foreign file).

    Wrappings taken off: `params_ema`, `params`, `state_dict` and the like around the dict;
    `module.`, `_orig_mod.` and the like in front of its keys.

    Raises:
        InputError: no checkpoint, a damaged one, or one that holds more than tensors.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        state, header = _read_safetensors(path)
        return (state, header) if header else (_strip_prefixes(state), {})
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can lead the unpickler to raise anything
        reason = (
            "it holds Python objects besides tensors, which could run code"
            if "GLOBAL" in str(error)
            else "it is damaged, or no PyTorch checkpoint"
        )
        raise InputError(f"{path}: cannot be loaded: {reason}") from error
    return _strip_prefixes(_unwrap(loaded, path)), {}


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


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            header = json.loads((file.metadata() or {}).get(_HEADER_KEY, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: damaged, or no safetensors checkpoint: {error}") from error
    return state, header


def _unwrap(loaded: object, path: Path) -> dict[str, Tensor]:
    if not isinstance(loaded, Mapping):
        kind = type(loaded).__name__
        raise InputError(f"{path}: holds a {kind}, expected a dict of tensors (a state dict)")
    for key in _WRAPPINGS:
        if isinstance(loaded.get(key), Mapping):
            return _unwrap(loaded[key], path)
    tensors = {key: value for key, value in loaded.items() if torch.is_tensor(value)}
    if not tensors:
        keys = ", ".join(map(str, list(loaded)[:4])) or "nothing"
        raise InputError(f"{path}: a dict of {keys}, expected a dict of tensors (a state dict)")
    return tensors


def _strip_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES:
        if state and all(key.startswith(prefix) for key in state):
            return _strip_prefixes({k.removeprefix(prefix): v for k, v in state.items()})
    return state
