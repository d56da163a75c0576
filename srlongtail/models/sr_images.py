"""A folder of SR images in the place of a network, for everything that needs no network."""

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
    """SR images that somebody's network made, in a folder: 8 bits a channel, as a rule.

    What needs no network takes it as it takes an `SRModel`: both restore an image pair. The file
    of an HR image is the one whose name has the HR image's name in it, as a part of its own:
    `baby.png`, `baby_SwinIR.png`, `babyx4.png`, `baby_SRF_4_SR.png`, `SwinIR_baby.png`, in upper
    or lower case. Files that say another scale are left out of account. Of several data sets, each
    may have a folder of its name inside.

    Args:
        folder: the folder.
        scale: SR pixels per LR pixel.
        name: for tables and figures; default: the folder's name.
        provenance: what is known of the network.

    Attributes:
        cropped: by how many pixels of SR or HR at most `fit` has cropped each image that it had to
            crop.

    Raises:
        InputError: no such folder, no image in it, or a scale that is no positive integer.

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
        """What of FPL the network was trained with, by the card."""
        return self.provenance.arm or "baseline"

    @property
    def degradation(self) -> str:
        """What LR the network was trained for, by the card, else bicubic."""
        return self.provenance.degradation or "bicubic"

    def restore_pair(self, pair: ImagePair, tile: Tiling | None = None, **options: bool) -> Tensor:
        """Return the SR image of a pair, `(3, H, W)` in [0, 1], with the levels of its file.

        Args:
            pair: the images; an SR image that is larger by a few pixels is cropped (right and
                bottom).
            tile, options: of no account; a network restores by them.

        Raises:
            InputError: no file of this image, several, or one of another size.
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
        """Return the data set, with HR images cropped to what their SR images cover.

        All files are found and checked. Where SR and HR differ by a few pixels, both are cropped
        to their common part (right and bottom), with a warning.

        Args:
            data: the images.
            skip_bad: leave out images whose SR file is missing or cannot be used, with a warning
                that names each, rather than raise an error.

        Raises:
            InputError: an SR image that is missing, damaged, of another size, or the HR image
                itself; or two for one image.
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
        """Return what is known of the images, as JSON values, with a hash of the files used."""
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
        """Return the file of each image, and what is wrong with the names of others."""
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
                    f"the like{hint if folder == self.folder else ''}"
                ),
            )
        for name, paths in matched.items():
            if len(paths) > 1:
                bad[name] = InputError(
                    f"{folder}: {paths[0].name} and {paths[1].name} both may be {name} of "
                    f"{dataset}, expected one SR image"
                )
            elif paths:
                files[dataset, name] = paths[0]
        return files, bad

    def _surplus(self, path: Path, sr: tuple[int, int], hr: tuple[int, int]) -> tuple[int, int]:
        """Return by how much an SR image is larger than HR, along each side, if it is but little.

        HR is cropped to multiples of 12 where LR is made, and by up to two LR pixels where it is
        stored; who made the SR images may have cropped otherwise.
        """
        surplus = sr[0] - hr[0], sr[1] - hr[1]
        if max(map(abs, surplus)) > max(MOD_CROP, 2 * self.scale):
            raise InputError(
                f"{path}: SR image of {sr[0]} x {sr[1]} pixels, expected {hr[0]} x {hr[1]}, the "
                f"size of the HR image"
            )
        return surplus


AnyModel: TypeAlias = SRModel | SRImages
"""What can be scored: it has a name, a scale and `restore_pair`."""


def fit_to_images(
    models: Iterable[AnyModel], data: ImageSet, *, skip_bad: bool = False
) -> ImageSet:
    """Return a data set fitted to all folders of SR images among the models; see `SRImages.fit`."""
    for model in models:
        if isinstance(model, SRImages):
            data = model.fit(data, skip_bad=skip_bad)
    return data


def _match(names: Sequence[str], files: Iterable[ImageFile], scale: int) -> dict[str, list[Path]]:
    """Return the files of each HR image by their names; those of another scale are left out.

    A file belongs to the image whose name comes first in its own, and of these to the longest:
    `img_10_x4` is of `img_10`, not of `img_1`; `baby_2_x4` of `baby_2`, not of `baby`; `1_SRF_4` of
    `1`, not of `4`. Of an HR image `baby_HR`, the name is `baby`, too.
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
