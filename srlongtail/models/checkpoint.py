"""Load any SR checkpoint as an `SRModel`, and save one with all its settings."""

import hashlib
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from srlongtail.device import find_device
from srlongtail.errors import InputError, Parameter, suggestion
from srlongtail.image.layouts import images_below
from srlongtail.models.adapt import Channels, Predicts, Reading, ValueRange, check_size
from srlongtail.models.calls import NetworkCall
from srlongtail.models.card import ModelCard
from srlongtail.models.catalog import CATALOG, build, recognize
from srlongtail.models.facts import Provenance, Source
from srlongtail.models.fast.layers import prepared
from srlongtail.models.find import RUN_CHECKPOINT, find_file, zoo_names
from srlongtail.models.load_weights import check_finite, load_weights
from srlongtail.models.probe import find_out
from srlongtail.models.spandrel_network import build_with_spandrel
from srlongtail.models.sr_images import AnyModel
from srlongtail.models.sr_model import WITHOUT_WEIGHTS, SRModel
from srlongtail.models.state import StateFile, first_fit, read_state_file, write_state

# As in edsr_x4, PANx4_DF2K, x4plus and 4xNomos, and not as in 64x48 or max2.
_SCALE_IN_NAME = re.compile(r"(?<![a-z0-9])(?:[xX]([2-8])|([2-8])[xX])(?![0-9])")


def load_model(
    source: str | os.PathLike[str] | ModelCard,
    *,
    scale: int | None = None,
    predicts: Predicts | None = None,
    value_range: ValueRange | None = None,
    channels: Channels | None = None,
    multiple: int | None = None,
    prefix: str | None = None,
    network: str | None = None,
    allow_code: bool = False,
    device: str | torch.device = "cpu",
) -> SRModel:
    """Load a model by name, from a file or from a model card, in eval mode.

    Settings that neither the file nor the card nor an argument states are detected: the scale from
    the weights' shapes, the file's name or the size of the output, the others by a `probe` on
    photos. `provenance.determined_by` records what determined each setting.

    Args:
        source: "bicubic" (torch's); "bicubic-matlab"; a name from `zoo_names()`, or of a network
            that `srlongtail zoo build` has made; the path of a checkpoint, of a training run's
            folder or of a model card; a `ModelCard`; `module:callable`, which makes an `nn.Module`
            with its weights; or `weights.pth@module:callable(arguments)`.
        scale: SR pixels per LR pixel; as for all settings up to `prefix`, contradicting the file or
            the card is an error.
        predicts: Output of the network; see `Reading`.
        value_range: White in its input and output; see `Reading`.
        channels: Color channels of its input and output; see `Reading`.
        multiple: The LR image is padded so that its sides are multiples of this.
        prefix: Place of the weights in the file; see `ModelCard`.
        network: Network to build for the file's weights; see `ModelCard`.
        allow_code: Import and call whatever a card's file names; see `NetworkCall.make`.
        device: Device for the weights.

    Raises:
        InputError: There is no such model, the file is not a checkpoint, the architecture is
            unknown, the weights do not fit, or the scale cannot be determined.

    Example:
        >>> load_model("bicubic", scale=2).scale
        2
    """
    if isinstance(source, str) and source in WITHOUT_WEIGHTS:
        return WITHOUT_WEIGHTS[source](scale or 4).to(device)
    options = {
        "scale": scale,
        "predicts": predicts,
        "value_range": value_range,
        "channels": channels,
        "multiple": multiple,
        "prefix": prefix,
        "network": network,
    }
    loading = _Loading(source, allow_code, {k: v for k, v in options.items() if v is not None})
    model = loading.load()
    if loading.refused:
        raise InputError(f"{loading.label}: {loading.refused[0]}")
    return model.to(device)


def load_models(
    sources: Sequence[str | ModelCard],
    *,
    scale: int | None = None,
    any_scale: bool = False,
    allow_code: bool = False,
    device: str | torch.device | None = None,
    **options: Any,
) -> list[SRModel]:
    """Load several models of one scale, which bicubic adopts; see `load_model`.

    Args:
        sources: Sources of the models.
        scale: SR pixels per LR pixel.
        any_scale: Allow models of different scales.
        allow_code: See `load_model`.
        device: Device for the weights; default: CUDA if available, else the CPU.
        options: Settings that neither a model's file nor its card states; shipped networks, and
            other files of ours, ignore them.

    Returns:
        The models; if two have the same name, their folders' names are added.

    Raises:
        InputError: No model uses an option, models have several scales, or a model is named twice.

    Example:
        >>> [model.scale for model in load_models(["bicubic"], scale=3)]
        [3]
    """
    device = find_device(device)
    given = {k: v for k, v in {"scale": scale, **options}.items() if v is not None}
    loadings = {
        index: _Loading(source, allow_code, given)
        for index, source in enumerate(sources)
        if not (isinstance(source, str) and source in WITHOUT_WEIGHTS)
    }
    networks = {index: loading.load().to(device) for index, loading in loadings.items()}
    for option, value in given.items():
        if loadings and not any(option in loading.taken for loading in loadings.values()):
            first = next(iter(loadings.values()))
            raise InputError(
                f"{first.label}: states its own {option.replace('_', ' ')}, expected no ",
                Parameter(option, value),
            )
    common = next((model.scale for model in networks.values()), scale)
    for index, model in networks.items():
        if model.scale != common and not any_scale:
            raise InputError(
                f"{loadings[index].label}: a x{model.scale} model beside x{common} ones, "
                f"expected models of one scale"
            )
    ordered = [
        networks.get(index) or load_model(source, scale=common, device=device)
        for index, source in enumerate(sources)
    ]
    tell_apart(ordered, sources)
    return ordered


def tell_apart(models: Sequence[AnyModel], sources: Sequence[str | ModelCard]) -> None:
    """Put the folder's name before the names that several models share.

    Args:
        models: The models, renamed in place.
        sources: The source of each model.

    Raises:
        InputError: The names are still equal.
    """
    names = [model.name for model in models]
    for model, source in zip(models, sources, strict=True):
        if names.count(model.name) > 1:
            path = source.file or source.weights if isinstance(source, ModelCard) else source
            model.name = f"{Path(path or '').resolve().parent.name}/{model.name}"
    if len({model.name for model in models}) < len(models):
        raise InputError(f"{', '.join(names)}: a model is named twice, expected different models")


def save_model(path: str | os.PathLike[str], model: SRModel) -> None:
    """Save a model as `.safetensors`, with all settings that `load_model` needs in its header.

    The file appears whole or not at all. A network that is not in the catalog can be saved, too;
    loading it then needs `network`.

    Args:
        path: The file.
        model: The model.

    Raises:
        InputError: The file has another suffix, or cannot be written.
    """
    known = CATALOG.get(model.architecture or "")
    constant = known.constant if known else ()  # SwinIR's masks would be three quarters of the file
    state = {k: v for k, v in model.network.state_dict().items() if not k.endswith(constant)}
    kept = replace(model.provenance, source=None, determined_by={}, probe="", notes=())
    write_state(path, state, {**model.settings, "provenance": kept.record()})


_STATED = ("file's header", "card", "option")
_QUIET = {"multiple": 1, "enlarged": False, "takes_scale": False, "output": None}
"""Settings of nearly every network, which are not worth reporting."""

_FACTS = ("scale", "multiple", *(f.name for f in fields(Reading)))


class _Loading:
    """The loading of one model, from what the user named to an `SRModel`.

    Args:
        source: What the user named.
        allow_code: Whether to trust the code that a card's file names.
        options: Settings to use if neither the file nor the card states them.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | ModelCard,
        allow_code: bool,
        options: Mapping[str, Any],
    ) -> None:
        self.card = source if isinstance(source, ModelCard) else _find_card(os.fspath(source))
        self.label = self.card.label if isinstance(source, ModelCard) else os.fspath(source)
        self.options = options
        self.taken: set[str] = set()  # options that are used, or agree with what is known
        self.refused: list[str] = []  # options that contradict what is known
        self.determined_by: dict[str, str] = {}
        self._allow_code = allow_code
        self._known: dict[str, Any] = {}
        self._provenance = Provenance()

    def load(self) -> SRModel:
        """Return the model; settings that are not stated are detected.

        The weights that a new network begins with, and a network that draws numbers when it is
        probed, leave PyTorch's random state as it was.
        """
        with torch.random.fork_rng(devices=[]):
            return self._load()

    def _load(self) -> SRModel:
        path = self._path()
        if path is None:
            self._settle_what_is_stated({})
            call = self._call("")
            assert call is not None, "a card without weights has a network"
            catalog = call.in_catalog
            module = (
                self._build(call.target, call.catalog_arguments()) if catalog else self._make(call)
            )
            name = self.label
        else:
            module = self._read(path)
            name = _name(path)
        module.eval()
        if not self._provenance.notes:  # a file's weights may have another precision, too
            self._note(notes=_precision_notes(module.state_dict()))
        module.float()
        facts, tried = find_out(
            module, self._known, label=self.label, scale_hint=self._scale_in_name(name)
        )
        for what, (value, by) in facts.items():
            if _QUIET.get(what, ...) == value:
                self._known[what] = value
            self._settle(by, **{what: value})
        hint = self._scale_in_name(name)
        if hint not in (None, self._known["scale"]) and self.determined_by["scale"] not in _STATED:
            warnings.warn(
                f"{self.label}: the name says x{hint}, but the network is "
                f"x{self._known['scale']} by the {self.determined_by['scale']}",
                stacklevel=4,
            )
        if tried is not None:
            self._note(probe=str(tried))
        stem = self.card.file.stem if self.card.file else None
        return SRModel(
            module,
            name=self.card.name or stem or name,
            provenance=replace(
                self._provenance,
                determined_by=self.determined_by,
                arm=self.card.arm or self._provenance.arm,
                degradation=self.card.degradation or self._provenance.degradation,
            ),
            **self._known,
        )

    def _path(self) -> Path | None:
        """Return the file of the card's weights, if it names one."""
        weights = self.card.weights
        if weights is None:
            return None
        for path in (Path(weights), Path(weights) / RUN_CHECKPOINT):
            if os.path.isfile(path):
                return path
        if os.path.isdir(weights):
            raise _no_network(self.label, Path(weights))
        raise InputError(f"{self.label}: {weights}: no such file, expected weights")

    def _note(self, **facts: Any) -> None:
        self._provenance = replace(self._provenance, **facts)

    def _note_source(self, path: Path, wrapping: str, tensors: Mapping[str, Tensor]) -> None:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self._note(source=Source(path.name, sha256, wrapping), notes=_precision_notes(tensors))

    def _settle(self, by: str, **facts: object) -> None:
        """Record facts, unless they are None; raise an error if one contradicts what is known."""
        for what, value in facts.items():
            if value is None or self._known.get(what) == value:
                continue
            if what in self._known:
                raise InputError(f"{self.label}: {self._contradiction(what, value, by)}")
            self._known[what] = value
            self.determined_by[what] = by

    def _contradiction(self, what: str, value: object, by: str) -> str:
        known, known_by = self._known[what], self.determined_by[what]
        return f"{what} is {value} by the {by}, but {known} by the {known_by}"

    def _settle_what_is_stated(self, header: Mapping[str, Any]) -> None:
        """Record the settings of the file's header, then of the card, then the options."""
        self._settle("file's header", **{what: header.get(what) for what in _FACTS})
        if header:
            self._known.setdefault("output", None)  # it has one output, unless it names one
        for what in ("scale", "multiple"):
            if self._known.get(what) is not None:
                check_size(what, self._known[what], self.label)
        self._settle("card", **{what: getattr(self.card, what) for what in _FACTS})
        for what in _FACTS:
            if what not in self.options:
                continue
            value = self.options[what]
            if self._known.get(what, value) == value:
                self._settle("option", **{what: value})
                self.taken.add(what)
            else:
                self.refused.append(self._contradiction(what, value, "option"))

    def _call(self, architecture: str) -> NetworkCall | None:
        """Return the network that the card or the option names; None if the weights determine it.

        Args:
            architecture: Name in the file's header, which the option cannot change.
        """
        stated, option = self.card.call, self.options.get("network")
        if option is None:
            return stated
        known = str(stated) if stated else architecture
        if known:
            self.refused.append(f"network is {option} by the option, but {known} by the model")
            return stated
        self.taken.add("network")
        return NetworkCall.parse(option)

    def _make(self, call: NetworkCall) -> nn.Module:
        from_file = self.card.file is not None and self.card.network is not None
        folder = self.card.file.parent if self.card.file else None
        self._note(network=str(call))
        try:
            return call.make(trusted=self._allow_code or not from_file, folder=folder)
        except InputError as error:
            raise error.about(self.label) from error

    def _read(self, path: Path) -> nn.Module:
        """Build the network that fits the file, and load its weights."""
        file = read_state_file(path)
        header = file.header
        prefix = self.card.prefix if self.card.prefix is not None else self.options.get("prefix")
        if header:
            prefix = None
            header = {**asdict(Reading()), "multiple": 1, **header}
        elif prefix is not None:
            self.taken.add("prefix")
        try:
            known = self._provenance = Provenance.from_header(header.get("provenance", {}))
        except InputError as error:
            raise error.about(self.label) from error
        self._settle_what_is_stated(header)
        call = self._call(known.architecture or "")
        wrapping = ""
        if known.architecture:
            module = build(known.architecture, **known.arguments)
        elif call is not None and not call.in_catalog:
            module = self._make(call)
        else:
            fit = first_fit(file, recognize, prefix)
            if fit is not None:
                wrapping, prefix = fit.note, fit.candidate.prefix
            if call is not None:
                by_shapes = fit.found[1] if fit and fit.found[0] == call.target else {}
                arguments = {**by_shapes, **call.catalog_arguments()}
                module = self._build(call.target, arguments, path.stem)
            elif fit is not None:
                module = self._build(*fit.found, path.stem)
            else:
                return self._ask_spandrel(file, prefix)
        loaded = load_weights(module, file, prefix)
        self._note_source(path, wrapping or loaded.note, loaded.candidate.tensors)
        if self._provenance.architecture:  # of ours; a stranger's stays as it was made
            prepared(module)
        return module

    def _build(self, name: str, arguments: dict[str, Any], stem: str = "") -> nn.Module:
        """Build a network of the catalog, after settling its scale."""
        self._settle("weights' shapes", scale=arguments.get("scale"))
        if "scale" not in self._known:
            self._settle("file's name", scale=self._scale_in_name(stem))
        if "scale" not in self._known and arguments.get("scales"):
            self._settle("largest scale of the weights", scale=max(arguments["scales"]))
        if "scale" not in self._known:
            raise InputError(
                f"{self.label}: the scale of this network is unknown, expected ",
                Parameter("scale", "N"),
            )
        arguments["scale"] = self._known["scale"]
        self._note(architecture=name, arguments=arguments)
        known = CATALOG[name]
        channels = "y" if arguments.get("channels") == 1 else known.channels
        if "channels" not in self._known:
            self._settle("architecture", channels=channels)
        if "value_range" not in self._known:
            self._settle("architecture", value_range=known.value_range)
        if known.enlarged:
            self._settle("architecture", enlarged=True)
        self._known = _QUIET | {"multiple": known.multiple} | self._known
        return build(name, **arguments)

    def _ask_spandrel(self, file: StateFile, prefix: str | None) -> nn.Module:
        """Let the optional package spandrel build the network."""
        unknown = (
            f"{file.path}: unknown architecture (keys {', '.join(list(file.tensors)[:3])}, ...), "
            f"expected one of {', '.join(CATALOG)}, or "
        )
        network = Parameter("network", "module:callable")
        try:
            fit = build_with_spandrel(file, prefix)
        except ImportError as error:
            raise InputError(
                unknown,
                network,
                f"; the extra srlongtail[spandrel] knows more, but cannot be imported: {error}",
            ) from error
        if fit is None:
            raise InputError(unknown, network, "; spandrel does not know it either")
        found = fit.found
        check_finite(found, str(file.path))
        self._settle(
            "spandrel extra",
            scale=found.scale,
            predicts="image",
            value_range=1.0,
            channels="y" if found.channels == 1 else "rgb",
        )
        self._known |= _QUIET
        self._note(network=f"spandrel's {found.architecture}")
        self._note_source(file.path, fit.note, fit.candidate.tensors)
        return found

    def _scale_in_name(self, name: str) -> int | None:
        """Return the scale that a file's name states unambiguously."""
        told = {int(found[0] or found[1]) for found in _SCALE_IN_NAME.findall(name)}
        return told.pop() if len(told) == 1 else None


def _find_card(source: str) -> ModelCard:
    """Return the card for a text on the command line: a file, a name, or a card in short."""
    path = find_file(source)
    if path is not None:
        return ModelCard.read(path) if path.suffix == ".toml" else ModelCard(weights=path)
    for index, letter in enumerate(source):
        if letter == "@" and (path := find_file(source[:index])):
            return ModelCard(weights=path, network=source[index + 1 :])
    if re.match(r"[\w.]+:(?![/\\])", source):
        return ModelCard(network=source)
    if os.path.isdir(source):
        raise _no_network(source, Path(source))
    names = [*WITHOUT_WEIGHTS, *zoo_names()]
    raise InputError(
        f"{source}: no such model{suggestion(source, names)}, expected a checkpoint file, a model "
        f"card, module:callable, or one of: {', '.join(names)} (srlongtail zoo list shows what "
        f"zoo build adds)"
    )


def _no_network(label: str, folder: Path) -> InputError:
    """Return the error for a folder that is not a training run's, where a network is needed."""
    what = "a folder of images" if images_below(folder, depth=1) else "a folder without checkpoint"
    return InputError(f"{label}: {what}, expected a network: SR images are not enough here")


def _precision_notes(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return a note about the weights that are not stored in float32, if there are any."""
    floats = [tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()]
    others = sorted({str(dtype).removeprefix("torch.") for dtype in floats} - {"float32"})
    count = sum(dtype != torch.float32 for dtype in floats)
    some = "" if count == len(floats) else f"{count} of {len(floats)} "
    return (f"{some}weights in {', '.join(others)}, computed in float32",) if others else ()


def _name(path: Path) -> str:
    return path.resolve().parent.name if path.name == RUN_CHECKPOINT else path.stem
