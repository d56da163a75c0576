"""Load any SR checkpoint as an `SRModel`, and save one so that it says what it is."""

import hashlib
import importlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from srlongtail.errors import InputError
from srlongtail.models.catalog import CATALOG, build, recognise
from srlongtail.models.fast.layers import accelerate
from srlongtail.models.probe import probe
from srlongtail.models.sr_model import Predicts, SRModel, bicubic
from srlongtail.models.state import read_state, write_state

ZOO = Path(__file__).parents[1] / "zoo"
BUILT = Path("runs/zoo")  # where `srlongtail zoo build` puts what does not ship
RUN_CHECKPOINT = "checkpoint.safetensors"  # what a training run's folder holds

_SCALE_IN_NAME = re.compile(r"(?<![a-z0-9])(?:x([2-8])|([2-8])x)(?![a-z0-9])", re.IGNORECASE)
_SIZE_PROBE = 48  # LR pixels: a multiple of 8 and large enough for every network of the catalog


def load_model(
    source: str | os.PathLike[str],
    *,
    scale: int | None = None,
    predicts: Predicts | None = None,
    value_range: float | None = None,
    network: str | None = None,
    device: str | torch.device = "cpu",
) -> SRModel:
    """Load a model by name or from a file, in eval mode.

    What the file does not say is found out: the scale from the weights' shapes, the file's name
    or the size of the output, the rest by a `probe` on a photo. `provenance["settled_by"]`
    tells what was settled by what.

    Args:
        source: "bicubic", a name from `zoo_names()` or of a network that `srlongtail zoo build`
            has made here, the path of a checkpoint or of a training run's folder, or
            `module:callable` that makes an `nn.Module` with its weights.
        scale, predicts, value_range: what is known already; contradicting the file is an error.
        network: `module:callable` that makes the `nn.Module` for the file's weights, for
            architectures that are not in the catalog.
        device: where to put the weights.

    Raises:
        InputError: no such model, no checkpoint, an unknown architecture, weights that do not
            fit, or a scale that nothing tells.

    >>> load_model("bicubic", scale=2).scale
    2
    """
    source = os.fspath(source)
    if source == "bicubic":
        return bicubic(scale or 4).to(device)
    known = _Conventions(source)
    known.settle("option", scale=scale, predicts=predicts, value_range=value_range)
    path = _find_file(source)
    if path is None:
        module, multiple, provenance = _call(source), 1, {"network": source}
    else:
        module, multiple, provenance = _read_network(path, network, known)
    if known.scale is None:
        known.settle("size of the network's output", scale=_scale_of_output(module, source))
    if known.predicts is None or known.value_range is None:
        found = probe(
            module,
            known.scale,
            multiple=multiple,
            predicts=known.predicts,
            value_range=known.value_range,
        )
        certainty = "probe" if found.conclusive else "inconclusive probe"
        known.settle(certainty, predicts=found.predicts, value_range=found.value_range)
        provenance["probe"] = str(found)
    return SRModel(
        module,
        known.scale,
        predicts=known.predicts,
        value_range=known.value_range,
        multiple=multiple,
        name=_name(path) if path else source,
        provenance={**provenance, "settled_by": known.settled_by},
    ).to(device)


def load_models(
    sources: Sequence[str],
    *,
    scale: int | None = None,
    device: str | torch.device | None = None,
    **options: Any,
) -> list[SRModel]:
    """Load several models of one scale, which "bicubic" takes over; see `load_model`.

    Two models of one name are told apart by their folders' names. `device` is by default CUDA
    where there is one.

    >>> [model.scale for model in load_models(["bicubic"], scale=3)]
    [3]
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    networks = {
        index: load_model(source, scale=scale, device=device, **options)
        for index, source in enumerate(sources)
        if source != "bicubic"
    }
    common = next((model.scale for model in networks.values()), scale)
    for index, model in networks.items():
        if model.scale != common:
            raise InputError(
                f"{sources[index]}: a x{model.scale} model beside x{common} ones, "
                f"expected models of one scale"
            )
    ordered = [
        networks.get(index) or load_model("bicubic", scale=common, device=device)
        for index in range(len(sources))
    ]
    tell_apart(ordered, sources)
    return ordered


def tell_apart(models: Sequence[SRModel], sources: Sequence[str]) -> None:
    """Put the folder's name before the names that several models share.

    Args:
        models: renamed in place.
        sources: what each was loaded from.

    Raises:
        InputError: they are of one name still.
    """
    names = [model.name for model in models]
    for model, source in zip(models, sources, strict=True):
        if names.count(model.name) > 1:
            model.name = f"{Path(source).resolve().parent.name}/{model.name}"
    if len({model.name for model in models}) < len(models):
        raise InputError(f"{', '.join(sources)}: a model is named twice")


def save_model(path: str | os.PathLike[str], model: SRModel) -> None:
    """Save a model as `.safetensors` with all that `load_model` has to know in its header.

    The file appears whole or not at all. A network that is not in the catalog can be saved too;
    loading it then takes `network=`.
    """
    settings = ("scale", "predicts", "value_range", "multiple", "provenance")
    known = CATALOG.get(model.architecture or "")
    constant = known.constant if known else ()  # SwinIR's masks would be three quarters of the file
    state = {k: v for k, v in model.network.state_dict().items() if not k.endswith(constant)}
    write_state(path, state, {key: getattr(model, key) for key in settings})


def zoo_names() -> list[str]:
    """The names of the trained checkpoints that ship with the package."""
    return sorted(path.stem for path in ZOO.glob("*.safetensors"))


def default_networks() -> tuple[str, ...]:
    """The shipped networks that are shown when none is named: a baseline and its FPL twin."""
    return tuple(name for name in ("fsrcnn-x4", "fsrcnn-fpl-x4") if name in zoo_names())


class _Conventions:
    """What is known of a network's conventions, and what settled each."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.scale: Any = None
        self.predicts: Any = None
        self.value_range: Any = None
        self.settled_by: dict[str, str] = {}

    def settle(self, by: str, **facts: object) -> None:
        """Note facts (None says nothing); refuse one that contradicts what is known."""
        for what, value in facts.items():
            known = getattr(self, what)
            if value is None or value == known:
                continue
            if known is not None:
                raise InputError(
                    f"{self.label}: {what} is {value} by the {by}, "
                    f"but {known} by the {self.settled_by[what]}"
                )
            setattr(self, what, value)
            self.settled_by[what] = by


def _find_file(source: str) -> Path | None:
    """The file that `source` means; None where it is a `module:callable`."""
    in_zoo = [folder / f"{source}.safetensors" for folder in (ZOO, BUILT)]
    for path in (Path(source), Path(source) / RUN_CHECKPOINT, *in_zoo):
        if path.is_file():
            return path
    if re.fullmatch(r"[\w.]+:[\w.]+", source):
        return None
    names = ", ".join(["bicubic", *zoo_names()])
    raise InputError(
        f"{source}: no such model, expected a checkpoint file, module:callable, or one of: {names} "
        f"(srlongtail zoo list shows what zoo build adds)"
    )


def _name(path: Path) -> str:
    return path.resolve().parent.name if path.name == RUN_CHECKPOINT else path.stem


def _read_network(
    path: Path, network: str | None, known: _Conventions
) -> tuple[nn.Module, int, dict[str, Any]]:
    """Build the network that fits the file and load its weights: network, multiple, provenance."""
    state, header = read_state(path)
    known.settle(
        "file's header", **{k: header.get(k) for k in ("scale", "predicts", "value_range")}
    )
    multiple = header.get("multiple", 1)
    provenance = {
        **header.get("provenance", {}),
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    if network is not None:
        module = _call(network)
        provenance["network"] = network
    elif "architecture" in provenance:
        module = build(provenance["architecture"], **provenance["arguments"])
    elif recognised := recognise(state):
        name, arguments = recognised
        arguments["scale"] = _scale_of_file(path, arguments.get("scale"), known)
        provenance |= {"architecture": name, "arguments": arguments}
        module, multiple = build(name, **arguments), CATALOG[name].multiple
    else:
        module, multiple, provenance["spandrel"] = _ask_spandrel(state, path, known)
    _load_weights(module, state, path)
    if "architecture" in provenance:  # of ours; a stranger's stays as it was made
        accelerate(module)
    return module, multiple, provenance


def _scale_of_file(path: Path, by_shapes: int | None, known: _Conventions) -> int:
    known.settle("weights' shapes", scale=by_shapes)
    in_name = _SCALE_IN_NAME.search(path.stem)
    if known.scale is None and in_name:
        known.settle("file's name", scale=int(in_name[1] or in_name[2]))
    if known.scale is None:
        raise InputError(f"{path}: nothing tells the scale of this network, expected --scale N")
    return known.scale


def _ask_spandrel(
    state: dict[str, Tensor], path: Path, known: _Conventions
) -> tuple[nn.Module, int, str]:
    """Let the optional package spandrel recognise the architecture."""
    unknown = (
        f"{path}: unknown architecture (keys {', '.join(list(state)[:3])}, ...), expected one of "
        f"{', '.join(CATALOG)}, or --network module:callable"
    )
    try:
        from spandrel import ModelLoader, UnsupportedModelError
    except Exception as error:  # a torchvision that does not fit torch fails in its own ways
        raise InputError(
            f"{unknown}; the extra srlongtail[spandrel] knows more, but cannot be imported: {error}"
        ) from error
    try:
        found = ModelLoader(device="cpu").load_from_state_dict(dict(state))
    except UnsupportedModelError as error:
        raise InputError(f"{unknown}; spandrel does not know it either") from error
    known.settle("spandrel extra", scale=found.scale)
    return found.model, found.size_requirements.multiple_of or 1, found.architecture.name


def _call(specification: str) -> nn.Module:
    """Import `module:callable`, from the current folder too, and call it."""
    module_name, separator, attribute = specification.partition(":")
    if not separator:
        raise InputError(f"--network {specification}: expected module:callable")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        made = getattr(importlib.import_module(module_name), attribute)()
    except (ImportError, AttributeError, TypeError) as error:
        raise InputError(f"--network {specification}: cannot be called: {error}") from error
    if not isinstance(made, nn.Module):
        kind = type(made).__name__
        raise InputError(f"--network {specification}: made a {kind}, expected a torch nn.Module")
    return made


def _load_weights(module: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        problems = "; ".join(line.strip() for line in str(error).splitlines()[1:4])
        raise InputError(
            f"{path}: weights do not fit {type(module).__name__}: {problems}"
        ) from error


def _scale_of_output(module: nn.Module, label: str) -> int:
    with torch.no_grad():
        output = module.eval()(torch.zeros(1, 3, _SIZE_PROBE, _SIZE_PROBE))
    scale, rest = divmod(output.shape[-1], _SIZE_PROBE)
    if rest or scale < 1:
        raise InputError(
            f"{label}: the network turned {_SIZE_PROBE} x {_SIZE_PROBE} pixels into "
            f"{output.shape[-2]} x {output.shape[-1]}, expected a multiple of the input's size"
        )
    return scale
