"""Options that several commands share: models and images."""

from collections.abc import Sequence
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

Repeatable = Annotated[  # --data A B --data C
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
    """Settings that neither a model's file nor its card states; shipped networks ignore them.

    Args:
        scale: SR pixels per LR pixel along each axis; default: detected.
        predicts: output of the network: the image, or the residual over bicubic; default: detected.
        value_range: white in the network's input and output; symmetric is [-1, 1] for both,
            symmetric-output is [-1, 1] for the output only; default: detected.
        channels: color channels of the network's input and output; y is luma only; default:
            detected.
        multiple: pad the sides of the LR input to multiples of this; default: detected.
        prefix: key in the file that holds the weights, such as params, or prefix to remove from
            their keys; default: detected.
        network: architecture of the weights: a name or module:callable, either may be followed by
            "(arguments)"; default: detected.
        allow_code: import and call the code that a model card names, even from the current folder.
        device: device to compute on, such as cuda:1; default: CUDA if available, else the CPU.
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
        """Load networks, report detected settings, and make equal names distinct."""
        from srlongtail.models.checkpoint import load_models

        models = load_models(names, any_scale=any_scale, **asdict(self))
        self._tell_guesses(models)
        return models

    def load_any(
        self, names: tuple[str, ...], data: "FolderOptions | None" = None
    ) -> "list[AnyModel]":
        """Load networks and folders of SR images, and report detected settings.

        Args:
            names: Names of the models.
            data: Images to score on, which may determine the scale of SR images.
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
            settings = model.settings
            guesses = [
                f"{what.replace('_', ' ')} {settings[what]} (by the {by})"
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
    """Images to use, where the command determines how LR images are made.

    Args:
        data: data folder, NAME=FOLDER, NAME=HR,LR (two folders), or photos; default: the built-in
            photos.
        lr_dir: folder of the LR images, if the data folder does not hold them.
        make_lr: make the LR images from HR even if the folder holds LR images.
        white: value that is white in images with more than 8 bits, such as 4095 for 12 bits.
        skip_bad: leave out images that are damaged, too small, or have no LR image.
    """

    data: Repeatable = ()
    lr_dir: str | None = None
    make_lr: bool = False
    white: float | None = None
    skip_bad: bool = False

    def open(
        self,
        scale: int,
        rule: "Degradation | None" = None,
        *,
        scored: "Sequence[AnyModel]" = (),
    ) -> "list[ImageSet]":
        """Open the data folders, or the built-in photos; report the source of the LR images.

        Args:
            scale: HR pixels per LR pixel.
            rule: How LR images are made; default: bicubic, if the folder holds no LR images.
            scored: Models of a command that uses LR images only to restore them; the LR images
                behind a folder of SR images are unknown.
        """
        from srlongtail.image.dataset import open_data, photos
        from srlongtail.models.sr_images import SRImages
        from srlongtail.parallel import map_shared

        folders = flatten(self.data)
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
                for_each=map_shared,
            )
            for folder in folders
        ] or [photos(scale, rule)]
        names = [images.name for images in opened]
        if len(set(names)) < len(names):
            twin = next(name for name in names if names.count(name) > 1)
            raise InputError(
                f"two data sets called {twin}, expected different names; NAME=DIR sets one"
            )
        without_lr = [model.name for model in scored if isinstance(model, SRImages)]
        for images in opened:
            lr = f"LR {images.lr_source}"
            if without_lr:
                known = "" if len(without_lr) == len(scored) else f"{lr}; "
                lr = f"{known}LR of {', '.join(without_lr)} unknown (SR images)"
            note(f"{images.name}: {lr}")
        return opened

    def open_one(self, scale: int) -> "ImageSet":
        """Open the only data folder, or the built-in photos."""
        if len(flatten(self.data)) > 1:
            raise InputError(f"--data names {len(flatten(self.data))} folders, expected one")
        return self.open(scale)[0]

    def stated_scales(self) -> set[int]:
        """Return the scales of the LR images in the data folders, judging by their names."""
        from srlongtail.image.dataset import stated_scales

        return {
            scale
            for folder in flatten(self.data)
            for scale in stated_scales(folder, lr_dir=self.lr_dir)
        }


@plain_help
@dataclass(frozen=True)
class DataOptions(FolderOptions):
    """Images to use.

    Args:
        degradation: how LR images are made; blur-noise is Eq. 8 of the paper.
    """

    degradation: DegradationName = "bicubic"

    def open(
        self,
        scale: int,
        rule: "Degradation | None" = None,
        *,
        scored: "Sequence[AnyModel]" = (),
    ) -> "list[ImageSet]":
        """Open the data folders, with LR images of the requested degradation."""
        from srlongtail.image.degrade import named_degradation

        if self.degradation != "bicubic":
            rule = named_degradation(self.degradation, scale)
        return super().open(scale, rule, scored=scored)


Folders = Annotated[FolderOptions, tyro.conf.arg(name="")]
Models = Annotated[ModelOptions, tyro.conf.arg(name="")]
Data = Annotated[DataOptions, tyro.conf.arg(name="")]
NO_MODEL_OPTIONS = ModelOptions()
NO_DATA_OPTIONS = DataOptions()
NO_FOLDER_OPTIONS = FolderOptions()


def flatten(groups: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """Return all values of a repeatable option, in order.

    >>> flatten((("a", "b"), ("c",)))
    ('a', 'b', 'c')
    """
    return tuple(item for group in groups for item in group)
