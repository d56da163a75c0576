"""A folder of SR images as a model, for everything that needs no network."""

import hashlib
import os
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.image.dataset import MOD_CROP, SKIP_BAD, ImagePair, ImageSet
from srlongtail.image.io import ImageFacts, check_image, read_checked
from srlongtail.image.layouts import (
    ImageFile,
    folder_says,
    images_below,
    names_of,
    visible_in,
)
from srlongtail.image.tiles import Tiling
from srlongtail.models.facts import Provenance
from srlongtail.models.sr_model import SRModel


class SRImages:
    """SR images of some network in a folder, usually with 8 bits per channel.

    Everything that needs no network accepts it in place of an `SRModel`: both restore an image
    pair. The file of an HR image is the one whose name contains the HR image's name as a separate
    part: `baby.png`, `baby_SwinIR.png`, `babyx4.png`, `baby_SRF_4_SR.png`, `SwinIR_baby.png`, in
    upper or lower case. Files whose names state another scale are ignored. For several data sets,
    the folder may hold a folder for each, with its name.

    Args:
        folder: The folder.
        scale: SR pixels per LR pixel.
        name: Name of the model in tables and figures; default: the folder's name.
        provenance: Facts about the network.

    Attributes:
        cropped: (data set, image) -> largest number of pixels that `fit` cut off one side of SR or
            HR.

    Raises:
        InputError: The folder does not exist or holds no image, or the scale is not a positive
            integer.

    Example:
        >>> import tempfile
        >>> from srlongtail.image.dataset import photos
        >>> from srlongtail.image.io import write_image
        >>> folder = Path(tempfile.mkdtemp(suffix="_EDSR"))
        >>> pair = photos(4)[1]
        >>> write_image(folder / "chelsea_EDSR.png", pair.hr)
        >>> float((SRImages(folder, 4).restore_pair(pair) - pair.hr).abs().max())
        0.0
    """

    architecture = None

    def __init__(
        self,
        folder: str | os.PathLike[str],
        scale: int,
        *,
        name: str | None = None,
        provenance: Provenance | None = None,
    ) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise InputError(f"{self.folder}: no such folder, expected one of SR images")
        if not images_below(self.folder, depth=1):
            raise InputError(f"{self.folder}: no images in it, expected SR images")
        if not isinstance(scale, int) or scale < 1:
            raise InputError(f"{self.folder}: scale {scale!r}, expected a positive integer")
        self.scale = scale
        self.name = name or self.folder.resolve().name
        self.provenance = provenance or Provenance()
        self.cropped: dict[tuple[str, str], int] = {}
        self._files: dict[tuple[str, str], Path] = {}  # data set and image -> file
        self._facts: dict[Path, ImageFacts] = {}

    @property
    def arm(self) -> str:
        """Parts of FPL that the network was trained with, by the card."""
        return self.provenance.arm or "baseline"

    @property
    def degradation(self) -> str:
        """Degradation that the network was trained for, by the card; default: bicubic."""
        return self.provenance.degradation or "bicubic"

    def restore_pair(self, pair: ImagePair, tile: Tiling | None = None, **options: bool) -> Tensor:
        """Return the SR image of a pair, `(3, H, W)` in [0, 1], with the levels of its file.

        Args:
            pair: The pair; an SR image that is a few pixels larger is cropped (right and bottom).
            tile: Ignored; for networks.
            options: Ignored; for networks.

        Raises:
            InputError: The image has no file, several, or one of another size.
        """
        sr = self.read(pair.dataset, pair.name).to(pair.hr.device)
        path = self._files[pair.dataset, pair.name]
        if min(self._surplus(path, _size(sr), _size(pair.hr))) < 0:
            raise InputError(
                f"{path}: smaller than the HR image, expected images of a data set that `fit` has "
                f"cropped"
            )
        height, width = _size(pair.hr)
        return sr[..., :height, :width]

    def read(self, dataset: str, name: str) -> Tensor:
        """Return the SR image of an HR image in the size of its file, `(3, H, W)` in [0, 1].

        Args:
            dataset: Name of the data set.
            name: Name of the HR image.

        Raises:
            InputError: No file of this image, or several.
        """
        key = dataset, name
        if key not in self._files:
            found, bad = self._find(dataset, [name])
            if bad:
                raise bad[name]
            self._files |= found
        return read_checked(self._files[key])

    def fit(self, data: ImageSet, *, skip_bad: bool = False) -> ImageSet:
        """Return the data set, with HR images cropped to the part that their SR images cover.

        All files are found and checked. If SR and HR differ by a few pixels, both are cropped to
        their common part (right and bottom), with a warning.

        Args:
            data: The data set.
            skip_bad: Leave out images whose SR file is missing or unusable, with a warning that
                names each, instead of raising an error.

        Raises:
            InputError: An SR image is missing, damaged, of another size, or the HR image itself;
                or an image has two SR images.
        """
        found, bad = self._find(data.name, data.names)
        own = {file.resolve() for file in data.files}
        cropped, covered = {}, {}
        for (_, name), path in found.items():
            index = data.names.index(name)
            hr = data.hr_sizes[index] or _size(data[index].hr)
            try:
                if path.resolve() in own:
                    raise InputError(f"{path}: is an image of {data.name} itself, not an SR image")
                if path not in self._facts:
                    self._facts[path] = check_image(path)
                facts = self._facts[path]
                surplus = self._surplus(path, (facts.height, facts.width), hr)
            except InputError as error:
                bad[name] = error
                continue
            if any(surplus):
                cropped[name] = max(map(abs, surplus))
            if min(surplus) < 0:
                covered[name] = min(facts.height, hr[0]), min(facts.width, hr[1])
        if bad and (not skip_bad or len(bad) == len(data)):
            first = next(iter(bad.values()))
            them = "it" if len(bad) == 1 else "them"
            hint = () if len(bad) == len(data) else ("; ", SKIP_BAD, f" leaves {them} out")
            raise first.followed_by(*hint)
        for reason in dict.fromkeys(bad.values()):
            warnings.warn(reason.about("left out").as_warning(), stacklevel=3)
        if cropped:
            warnings.warn(
                f"{self.name}: SR and HR (as it is scored) of {len(cropped)} images of "
                f"{data.name} differ in size, by up to {max(cropped.values())} pixels; cropped to "
                f"their common part",
                stacklevel=3,
            )
        self._files |= found
        self.cropped |= {(data.name, name): pixels for name, pixels in cropped.items()}
        data = data.without(bad) if bad else data
        return data.cropped(covered) if covered else data

    def record(self) -> dict[str, Any]:
        """Return the facts about the images as JSON values, with a hash of the files used."""
        digest = hashlib.sha256()
        for path in sorted(set(self._files.values())):
            digest.update(f"{path.relative_to(self.folder).as_posix()}\n".encode())
            digest.update(path.read_bytes())
        return {
            "name": self.name,
            "scale": self.scale,
            "sr_images": len(set(self._files.values())),
            "folder": self.folder.resolve().name,
            "sha256": digest.hexdigest(),
            "cropped": len(self.cropped),
            **self.provenance.record(),
        }

    def _find(
        self, dataset: str, names: Sequence[str]
    ) -> tuple[dict[tuple[str, str], Path], dict[str, InputError]]:
        """Return the file of each image, and an error for each image without one."""
        inside = [p for p in visible_in(self.folder) if p.is_dir()]
        folder = next((p for p in inside if p.name.casefold() == dataset.casefold()), self.folder)
        matched = _match(names, images_below(folder, depth=0), self.scale)
        files, bad = {}, {}
        missing = [name for name, paths in matched.items() if not paths]
        if missing:
            listed = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            hint = f"; its folders are {', '.join(p.name for p in inside[:5])}" if inside else ""
            bad = dict.fromkeys(
                missing,
                InputError(
                    f"{folder}: no SR image of {listed} ({len(missing)} of the {len(names)} images "
                    f"of {dataset}), expected {missing[0]}.png, {missing[0]}_x{self.scale}.png or "
                    f"similar{hint if folder == self.folder else ''}"
                ),
            )
        for name, paths in matched.items():
            if len(paths) > 1:
                bad[name] = InputError(
                    f"{folder}: {paths[0].name} and {paths[1].name} may both be {name} of "
                    f"{dataset}, expected one SR image"
                )
            elif paths:
                files[dataset, name] = paths[0]
        return files, bad

    def _surplus(self, path: Path, sr: tuple[int, int], hr: tuple[int, int]) -> tuple[int, int]:
        """Return by how many pixels an SR image exceeds HR, along each axis.

        HR is cropped to multiples of 12 if LR is made, and by up to two LR pixels if LR is stored;
        whoever made the SR images may have cropped differently.

        Raises:
            InputError: The sizes differ by more than that.
        """
        surplus = sr[0] - hr[0], sr[1] - hr[1]
        if max(map(abs, surplus)) > max(MOD_CROP, 2 * self.scale):
            raise InputError(
                f"{path}: SR image of {sr[0]} x {sr[1]} pixels, expected {hr[0]} x {hr[1]}, the "
                f"size of the HR image"
            )
        return surplus


AnyModel: TypeAlias = SRModel | SRImages
"""Anything that can be scored: it has a name, a scale and `restore_pair`."""


def fit_to_images(
    models: Iterable[AnyModel], data: ImageSet, *, skip_bad: bool = False
) -> ImageSet:
    """Return a data set fitted to all folders of SR images among the models; see `SRImages.fit`.

    Args:
        models: The models.
        data: The data set.
        skip_bad: Leave out images without a usable SR image, with a warning.

    Raises:
        InputError: An SR image is missing or unusable.
    """
    for model in models:
        if isinstance(model, SRImages):
            data = model.fit(data, skip_bad=skip_bad)
    return data


def _match(names: Sequence[str], files: Iterable[ImageFile], scale: int) -> dict[str, list[Path]]:
    """Return the files of each HR image by their names; those of another scale are left out.

    A file belongs to the image whose name comes first in its own name; among several, to the
    longest: `img_10_x4` to `img_10`, not to `img_1`; `baby_2_x4` to `baby_2`, not to `baby`;
    `1_SRF_4` to `1`, not to `4`. An HR image `baby_HR` also has the name `baby`.
    """
    parts = {}
    for name in names:
        for known in names_of(name):
            if known.text == name or known.role == "HR":
                text = (
                    rf"(?<![^\W_]){re.escape(known.text)}(?=$|[\W_]|x\d+(?:[mdw]\d?)?(?:$|[\W_]))"
                )
                parts[known.text] = name, re.compile(text, re.IGNORECASE)
    found: dict[str, list[Path]] = {name: [] for name in names}
    for file in files:
        stem = file.path.stem
        places = [
            (place.start(), -len(text), name)
            for text, (name, part) in parts.items()
            if (place := part.search(stem))
        ]
        if places:
            start, minus_length, name = min(places)
            said = folder_says(f"{stem[:start]} {stem[start - minus_length :]}").scale
            if said in (None, scale):
                found[name].append(file.path)
    return found


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[-2], image.shape[-1]
