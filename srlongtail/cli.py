"""The command line: parse, call, print where the result lies.

Heavy modules are imported inside the commands, so that `srlongtail --help` is quick.
"""

import contextlib
import functools
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional, UseAppendAction

from srlongtail import __version__
from srlongtail.errors import InputError
from srlongtail.training.commands import ablate, flat, train, zoo

if TYPE_CHECKING:
    from srlongtail.image.dataset import ImageSet
    from srlongtail.image.degrade import Degradation
    from srlongtail.models.sr_model import SRModel

Many = UseAppendAction[tuple[tuple[str, ...], ...]]  # --data A B --data C
OneModel = Annotated[Positional[str], tyro.conf.arg(metavar="MODEL")]
SomeModels = Annotated[Positional[tuple[str, ...]], tyro.conf.arg(metavar="MODEL...")]


@dataclass(frozen=True)
class ModelOptions:
    """What a foreign checkpoint does not say.

    Args:
        scale: SR pixels per LR pixel.
        predicts: whether the network's output is the image, or the residual over bicubic.
        value_range: the white of the network's input and output.
        network: module:callable that makes the network for the checkpoint's weights.
        device: where to compute; by default on CUDA where there is one.
    """

    scale: int | None = None
    predicts: Literal["image", "residual"] | None = None
    value_range: Literal[1, 255] | None = None
    network: str | None = None
    device: str | None = None

    def load(self, names: tuple[str, ...]) -> "list[SRModel]":
        """Load models of one scale, say what had to be guessed, and tell equal names apart."""
        from srlongtail.models.checkpoint import load_models

        models = load_models(names, **asdict(self))
        for model in models:
            guesses = [
                f"{what} {getattr(model, what)} (by the {by})"
                for what, by in model.provenance.get("settled_by", {}).items()
                if by not in ("option", "file's header")
            ]
            if guesses:
                note(f"{model.name}: {', '.join(guesses)}; srlongtail inspect tells more")
        return models


@dataclass(frozen=True)
class DataOptions:
    """Which images.

    Args:
        data: data folder, NAME=FOLDER, or photos, the built-in ones; these unless given.
        make_lr: make the LR images from HR even where the folder has some.
        degradation: how LR images are made; blur-noise is Eq. 8 of the paper.
    """

    data: Many = ()
    make_lr: bool = False
    degradation: Literal["bicubic", "blur-noise"] = "bicubic"

    def open(self, scale: int, rule: "Degradation | None" = None) -> "list[ImageSet]":
        """Open the data folders, or the built-in photos."""
        from srlongtail.image.dataset import open_data, photos
        from srlongtail.image.degrade import BlurNoise

        if self.degradation == "blur-noise":
            rule = BlurNoise(scale)
        folders = flat(self.data)
        if not folders:
            return [photos(scale, rule)]
        return [open_data(f, scale, make_lr=self.make_lr, degradation=rule) for f in folders]

    def open_one(self, scale: int) -> "ImageSet":
        """Open the one data folder, or the built-in photos."""
        opened = self.open(scale)
        if len(opened) > 1:
            raise InputError(f"--data names {len(opened)} folders, expected one")
        return opened[0]


Models = Annotated[ModelOptions, tyro.conf.arg(name="")]
Data = Annotated[DataOptions, tyro.conf.arg(name="")]


def figures(
    *,
    only: Many = (),
    models: Many = (),
    image: str | None = None,
    window: tuple[int, int, int] | None = None,
    ablation: Path | None = None,
    force: bool = False,
    out: Path = Path("figures"),
    data_options: Data = DataOptions(),
    model_options: Models = ModelOptions(),
) -> None:
    """Regenerate the paper's figures.

    Args:
        only: names of figures, such as fig1; all unless given.
        models: the networks to show; the shipped ones unless given.
        image: name of the image to show.
        window: row, column and size of the window of Figures 3 and 6, in SR pixels.
        ablation: CSV of 'srlongtail ablate focal-parameters', for Figure 4; the shipped one unless
            given.
        force: compute everything anew, and not only what changed.
        out: folder to write to.
    """
    from srlongtail.models.checkpoint import default_networks
    from srlongtail.paper.build import build_figures
    from srlongtail.paper.inputs import FigureInputs

    names = flat(models) or default_networks()
    if not names:
        note("no network ships with this version: bicubic alone is shown; --models names others")
    networks = tuple(m for m in model_options.load(names) if m.name != "bicubic")
    scale = networks[0].scale if networks else model_options.scale or 4
    inputs = FigureInputs(networks, data_options.open_one(scale), image, window)
    if ablation is not None:
        inputs = replace(inputs, ablation=ablation)
    for path in build_figures(inputs, out, flat(only), force):
        print(path)


def tables(
    *,
    only: Many = (),
    models: Many = (),
    force: bool = False,
    out: Path = Path("figures"),
    data: Many = (),
    make_lr: bool = False,
    model_options: Models = ModelOptions(),
) -> None:
    """Regenerate the paper's tables: ours, the published numbers, and the difference.

    Args:
        only: table1 (x4), table2 (x2), table3 (x4, degraded), table4 (BSRN); those that a
            network is at hand for, unless given.
        models: the networks to score, of any scale; the shipped ones unless given.
        force: score everything anew, and not only what changed.
        out: folder to write to.
        data: data folder, NAME=FOLDER, or photos, the built-in ones; these unless given.
        make_lr: make the LR images from HR even where the folder has some.
    """
    from srlongtail.models.checkpoint import tell_apart, zoo_names
    from srlongtail.paper.build import TABLES, build_tables
    from srlongtail.paper.tables import subject

    names = [name for name in flat(models) or zoo_names() if name != "bicubic"]
    loaded = [model for name in names for model in model_options.load((name,))]
    tell_apart(loaded, names)
    for model in loaded:
        if not any(spec.takes(model) for spec in TABLES.values()):
            note(f"{model.name}: the paper has no table of {subject(model)}, left out")
    paths = build_tables(
        loaded,
        lambda scale, rule: DataOptions(data, make_lr).open(scale, rule),
        out,
        flat(only),
        force,
    )
    for path in paths:
        print(path.read_text())
    for path in paths:
        print(path)


def evaluate(
    models: SomeModels,
    /,
    *,
    protocol: Literal["paper", "y"] = "paper",
    out: Path | None = None,
    data_options: Data = DataOptions(),
    model_options: Models = ModelOptions(),
) -> None:
    """Measure PSNR and SSIM of models on data sets.

    Args:
        models: bicubic, names of shipped networks, or checkpoint files.
        protocol: "paper" is RGB with 7x7 uniform SSIM (Tables 1 to 3), "y" is luma with
            Gaussian SSIM (Table 4).
        out: CSV file to write, one row for each model and image.
    """
    from srlongtail import evaluation, parallel
    from srlongtail.metrics import PROTOCOLS
    from srlongtail.provenance import provenance
    from srlongtail.results import write_record, write_table

    with parallel.process_group():
        loaded = model_options.load(_some(models))
        datasets = data_options.open(loaded[0].scale)
        table = evaluation.evaluate(loaded, datasets, PROTOCOLS[protocol])
        if not parallel.is_writer():
            return
        if out is not None:
            write_table(out, table)
            write_record(out.with_suffix(".json"), provenance(loaded, datasets, protocol=protocol))
        print(evaluation.summarize(table).round({"psnr_db": 3, "ssim": 5}).to_string(index=False))
        if out is not None:
            print(out)


def histogram(
    models: SomeModels,
    /,
    *,
    out: Path = Path("."),
    data_options: Data = DataOptions(),
    model_options: Models = ModelOptions(),
) -> None:
    """Measure how many pixels have which absolute difference, beside bicubic's.

    Args:
        models: names of shipped networks, or checkpoint files.
        out: folder to write histogram.png, .pdf, .csv and .json to.
    """
    from srlongtail import parallel
    from srlongtail.paper import histogram as figure
    from srlongtail.paper.build import write_result
    from srlongtail.paper.inputs import FigureInputs
    from srlongtail.provenance import provenance

    with parallel.process_group():
        loaded = model_options.load(_some(models))
        data = data_options.open_one(loaded[0].scale)
        inputs = FigureInputs(tuple(m for m in loaded if m.name != "bicubic"), data)
        result = figure.compute(inputs)
        if parallel.is_writer():
            path = write_result(out / "histogram", figure, result, provenance(loaded, [data]))
            print(result.summary().round(4).to_string(index=False))
            print(path)


def weights(
    model: OneModel,
    image: Annotated[Positional[str], tyro.conf.arg(metavar="IMAGE")],
    /,
    *,
    out: Path = Path("."),
    model_options: Models = ModelOptions(),
) -> None:
    """Render the static, learnable and combined focal weights of an image.

    Args:
        model: name of a shipped network, or checkpoint file.
        image: HR image file, or the name of a built-in photo; LR is made from it.
        out: folder to write weights.png, .pdf, .csv, .json and .npz (the maps) to.
    """
    from srlongtail.image.dataset import open_image
    from srlongtail.paper import fig5
    from srlongtail.paper.build import write_result
    from srlongtail.provenance import provenance
    from srlongtail.results import write_maps

    (loaded,) = model_options.load((model,))
    data = open_image(image, loaded.scale)
    result = fig5.weigh(loaded, data[0])
    print(write_result(out / "weights", fig5, result, provenance([loaded], [data])))
    print(write_maps(out / "weights.npz", result.maps()))


def attribute(
    model: OneModel,
    image: Annotated[Positional[str], tyro.conf.arg(metavar="IMAGE")],
    /,
    *,
    window: tuple[int, int, int] | None = None,
    lr: bool = False,
    published: bool = False,
    methods: bool = False,
    out: Path = Path("."),
    model_options: Models = ModelOptions(),
) -> None:
    """Map which LR pixels a window of the SR image was drawn from (LAM), and measure its DI.

    Args:
        model: name of a shipped network, or checkpoint file.
        image: HR image file, or the name of a built-in photo; LR is made from it.
        window: row, column and size in SR pixels; the one with the largest tail share unless
            given.
        lr: the image is the network's input itself.
        published: reproduce the published code of LAM to the letter.
        methods: compare LAM with captum's methods, too, and write methods.png, .pdf, .csv, .json,
            .npz and methods-curves.csv.
        out: folder to write attribute.png, .pdf, .csv, .json and .npz (the maps) to.
    """
    from srlongtail.paper.attribute import (
        attribute_image,
        compare_image,
        write_attribution,
        write_methods,
    )

    (loaded,) = model_options.load((model,))
    result = attribute_image(loaded, image, window, is_lr=lr, published=published)
    if window is None:
        note(f"window {' '.join(map(str, result.window))}: {result.rule}")
    paths = write_attribution(result, loaded, out, is_lr=lr, published=published)
    if methods:
        compared = compare_image(loaded, image, result.window, is_lr=lr, published=published)
        paths += write_methods(compared, loaded, out, is_lr=lr, published=published)
        print(compared.frame().round(3).to_string(index=False))
    for path in paths:
        print(path)


def inspect(model: OneModel, /, *, model_options: Models = ModelOptions()) -> None:
    """Tell what a checkpoint is, what was guessed about it and why, and how large it is.

    Args:
        model: name of a shipped network, or checkpoint file.
    """
    from srlongtail.models.checkpoint import load_models
    from srlongtail.paper.complexity import describe

    (loaded,) = load_models((model,), **asdict(model_options))
    print(describe(loaded))


COMMANDS: dict[str, Callable[..., None]] = {
    "figures": figures,
    "tables": tables,
    "evaluate": evaluate,
    "histogram": histogram,
    "weights": weights,
    "attribute": attribute,
    "inspect": inspect,
    "train": train,
    "ablate": ablate,
    "zoo": zoo,
}


def main() -> None:
    """Run the command line; exit with 2 and one line after a user's mistake."""
    warnings.showwarning = lambda message, *_, **__: note(str(message))
    try:
        _parse(sys.argv[1:])()
    except InputError as error:
        print(f"srlongtail: error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # who reads our output, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def note(text: str) -> None:
    """Tell the user something that is neither a result nor an error."""
    print(f"srlongtail: note: {text}", file=sys.stderr)


def _some(models: tuple[str, ...]) -> tuple[str, ...]:
    if not models:
        raise InputError("no model named, expected bicubic, a shipped network or a checkpoint file")
    return models


def _parse(arguments: list[str]) -> Callable[[], None]:
    """The command to run, with its arguments; tyro's error box becomes one line."""
    if arguments == ["--version"]:
        return functools.partial(print, f"srlongtail {__version__}")
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return tyro.extras.subcommand_cli_from_dict(
                {name: _deferred(command) for name, command in COMMANDS.items()},
                prog="srlongtail",
                description="See where a super-resolution network fails.",
                args=arguments or ["--help"],
            )
    except SystemExit as error:
        if error.code == 2:
            raise InputError(_one_line(box.getvalue())) from None
        raise


def _deferred(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """The command with the same signature, to be called once parsing has succeeded."""

    @functools.wraps(command)
    def defer(*args: Any, **kwargs: Any) -> Callable[[], None]:
        return functools.partial(command, *args, **kwargs)

    return defer


def _one_line(box: str) -> str:
    """What tyro's box says first, below its title, with the hint at what was meant."""
    sections: list[list[str]] = [[]]
    for line in box.splitlines():
        text = line.strip("│╭╮╰╯─ ")
        is_rule = line.strip() and not text.strip("-")
        if is_rule or line.startswith("╭"):
            sections.append([])
        else:
            sections[-1].append(text)
    _title, message, hint, *_ = [*sections, [""]]
    if "" in message:
        message = message[: message.index("")]
    if not hint[0].startswith(("Perhaps", "Available")):
        hint = []
    return " ".join([*message, *hint[:2], "(see srlongtail COMMAND --help)"]).replace(" .", ".")


if __name__ == "__main__":
    main()
