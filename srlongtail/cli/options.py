"""Options that several commands share: which models, which images."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import Positional, UseAppendAction

from srlongtail.cli.messages import note
from srlongtail.cli.plain import plain_help
from srlongtail.errors import InputError
from srlongtail.image import DegradationName

if TYPE_CHECKING:
    from srlongtail.image.dataset import ImageSet
    from srlongtail.image.degrade import Degradation
    from srlongtail.models.sr_images import AnyModel
    from srlongtail.models.sr_model import SRModel

Many = Annotated[  # --data A B --data C
    UseAppendAction[tuple[tuple[str, ...], ...]],
    tyro.conf.arg(metavar="TEXT ...", help_behavior_hint=""),
]
OneModel = Annotated[Positional[str], tyro.conf.arg(metavar="MODEL")]
SomeModels = Annotated[
    Positional[tuple[str, ...]], tyro.conf.arg(metavar="MODEL...", help_behavior_hint="")
]


@plain_help
@dataclass(frozen=True)
class ModelOptions:
    """What neither a model's file nor its card says; networks that ship stay as they are.

    Args:
        scale: SR pixels per LR pixel; default: detected, as are the four below.
        predicts: whether the network's output is the image, or the residual over bicubic.
        value_range: the white of the network's input and output; symmetric is [-1, 1] for both,
            symmetric-output for the output alone.
        channels: the colors that the network takes and gives; y is one channel, luma.
        multiple: the sides of the LR input are padded to multiples of this.
        prefix: where the weights lie in the file, such as params, or what to cut off in front of
            their keys; default: detected.
        network: what to build for the weights: module:callable or a name, with or without
            "(arguments)"; default: detected.
        allow_code: import and call what a model card names, even from the current folder.
        device: where to compute; default: CUDA where there is one, else the CPU.
    """

    scale: int | None = None
    predicts: Literal["image", "residual"] | None = None
    value_range: Literal[1, 255, "symmetric", "symmetric-output"] | None = None
    channels: Literal["rgb", "bgr", "y", "ycbcr"] | None = None
    multiple: int | None = None
    prefix: str | None = None
    network: str | None = None
    allow_code: bool = False
    device: str | None = None

    def load(self, names: tuple[str, ...], *, any_scale: bool = False) -> "list[SRModel]":
        """Load networks, say what had to be guessed, and tell equal names apart."""
        from srlongtail.models.checkpoint import load_models

        models = load_models(names, any_scale=any_scale, **asdict(self))
        self._tell_guesses(models)
        return models

    def load_any(
        self, names: tuple[str, ...], data: "FolderOptions | None" = None
    ) -> "list[AnyModel]":
        """Load networks and folders of SR images, and say what had to be guessed.

        Args:
            names: of the models.
            data: the images to score on, which may tell the scale of SR images.
        """
        from srlongtail.models.load_any import load_any
        from srlongtail.models.sr_images import SRImages
        from srlongtail.models.sr_model import SRModel

        data_scales = set if data is None else data.stated_scales
        models = load_any(names, data_scales=data_scales, **asdict(self))
        for model in models:
            by = model.provenance.determined_by.get("scale")
            if isinstance(model, SRImages) and by not in ("option", "card", "other models"):
                said = "by default" if by == "default" else f"by the {by}"
                note(f"{model.name}: SR images, scale {model.scale} {said}; --scale sets it")
        self._tell_guesses([model for model in models if isinstance(model, SRModel)])
        return models

    def _tell_guesses(self, models: "list[SRModel]") -> None:
        for model in models:
            guesses = [
                f"{what} {getattr(model, what)} (by the {by})"
                for what, by in model.provenance.determined_by.items()
                if by not in ("option", "card", "file's header")
            ]
            source = model.provenance.source
            if source is not None and source.wrapping:
                guesses.append(source.wrapping)
            if guesses:
                note(f"{model.name}: {', '.join(guesses)}; srlongtail inspect tells more")


@plain_help
@dataclass(frozen=True)
class FolderOptions:
    """Which images, where the command says how LR images are made.

    Args:
        data: data folder, NAME=FOLDER, NAME=HR,LR (two folders), or photos, the built-in ones;
            default: the built-in photos.
        lr_dir: folder of the LR images, for a data folder that does not hold them.
        make_lr: make the LR images from HR even where the folder has some.
        white: value that is white in images with more than 8 bits, such as 4095 for 12 bits.
        skip_bad: leave out images that are damaged, too small, or lack their LR image.
    """

    data: Many = ()
    lr_dir: str | None = None
    make_lr: bool = False
    white: float | None = None
    skip_bad: bool = False

    def open(self, scale: int, rule: "Degradation | None" = None) -> "list[ImageSet]":
        """Open the data folders, or the built-in photos; say where the LR images come from."""
        from srlongtail.image.dataset import open_data, photos

        folders = flat(self.data)
        if self.lr_dir is not None and len(folders) != 1:
            raise InputError(
                f"--lr-dir {self.lr_dir}: {len(folders)} data folders, expected one; "
                f"--data NAME=HR,LR gives each its own"
            )
        opened = [
            open_data(
                folder,
                scale,
                make_lr=self.make_lr,
                lr_dir=self.lr_dir,
                white=self.white,
                skip_bad=self.skip_bad,
                degradation=rule,
            )
            for folder in folders
        ] or [photos(scale, rule)]
        names = [images.name for images in opened]
        if len(set(names)) < len(names):
            twin = next(name for name in names if names.count(name) > 1)
            raise InputError(
                f"two data sets called {twin}, expected different names; NAME=DIR sets one"
            )
        for images in opened:
            note(f"{images.name}: LR {images.lr_source}")
        return opened

    def stated_scales(self) -> set[int]:
        """Return the scales of the LR images in the data folders, by their names."""
        from srlongtail.image.dataset import stated_scales

        return {
            scale
            for folder in flat(self.data)
            for scale in stated_scales(folder, lr_dir=self.lr_dir)
        }


@plain_help
@dataclass(frozen=True)
class DataOptions(FolderOptions):
    """Which images.

    Args:
        degradation: how LR images are made; blur-noise is Eq. 8 of the paper.
    """

    degradation: DegradationName = "bicubic"

    def open(self, scale: int, rule: "Degradation | None" = None) -> "list[ImageSet]":
        """Open the data folders, with LR images by the degradation asked for."""
        from srlongtail.image.degrade import named_degradation

        if self.degradation != "bicubic":
            rule = named_degradation(self.degradation, scale)
        return super().open(scale, rule)

    def open_one(self, scale: int) -> "ImageSet":
        """Open the one data folder, or the built-in photos."""
        if len(flat(self.data)) > 1:
            raise InputError(f"--data names {len(flat(self.data))} folders, expected one")
        return self.open(scale)[0]


Folders = Annotated[FolderOptions, tyro.conf.arg(name="")]
Models = Annotated[ModelOptions, tyro.conf.arg(name="")]
Data = Annotated[DataOptions, tyro.conf.arg(name="")]
NO_MODEL_OPTIONS = ModelOptions()
NO_DATA_OPTIONS = DataOptions()
NO_FOLDER_OPTIONS = FolderOptions()


def flat(groups: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """What an option that may be repeated was given, in order.

    >>> flat((("a", "b"), ("c",)))
    ('a', 'b', 'c')
    """
    return tuple(item for group in groups for item in group)
