"""Pairs of HR and LR images: data folders in the layouts people have, and the built-in photos."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import overload

from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.image.degrade import Bicubic, Degradation
from srlongtail.image.io import SUFFIXES, image_from_array, read_image

MOD_CROP = 12  # the paper crops HR to multiples of 12, which x2, x3 and x4 divide


@dataclass(frozen=True)
class Photo:
    """A photo that ships inside scikit-image, with the licence that lets us show it."""

    name: str
    licence: str
    credit: str


PHOTOS = (
    Photo("astronaut", "public domain", "NASA, portrait of Eileen Collins"),
    Photo("chelsea", "CC0", "Stefan van der Walt"),
    Photo("coffee", "CC0", "Rachel Michetti, Pikolo Espresso Bar"),
    Photo("rocket", "public domain", "SpaceX, launch of DSCOVR"),
)


@dataclass(frozen=True)
class ImagePair:
    """An HR image `(3, H, W)` and its LR image `(3, H / scale, W / scale)`, both in [0, 1]."""

    name: str
    hr: Tensor
    lr: Tensor
    dataset: str = ""

    @property
    def scale(self) -> int:
        """HR pixels per LR pixel along each axis."""
        return self.hr.shape[-1] // self.lr.shape[-1]


Source = Path | Photo  # where the pixels of an image come from
Reader = Callable[[Source], Tensor]


def read_source(source: Source) -> Tensor:
    """Read an image file or a built-in photo: RGB `(3, H, W)` in [0, 1].

    >>> read_source(PHOTOS[1]).shape
    torch.Size([3, 300, 451])
    """
    return _read_photo(source.name) if isinstance(source, Photo) else read_image(source)


@dataclass
class _Entry:
    """An image of a set; `sha256` is the hash of its pixels, once they were read."""

    name: str
    hr: Source
    lr: Path | None = None
    sha256: str = ""

    def read(self, read: Reader) -> tuple[Tensor, Tensor | None]:
        hr, lr = read(self.hr), read(self.lr) if self.lr else None
        if not self.sha256:
            digest = hashlib.sha256(hr.numpy().tobytes())
            if lr is not None:
                digest.update(lr.numpy().tobytes())
            self.sha256 = digest.hexdigest()
        return hr, lr


class ImageSet(Sequence[ImagePair]):
    """A named sequence of `ImagePair`; images are read when they are asked for, and not kept.

    Where an entry has no LR file, HR is cropped to multiples of 12 and LR is made from it by
    `degradation`. Where it has one, HR is cropped to the LR file's size times the scale.
    """

    def __init__(self, name: str, entries: Iterable[_Entry], degradation: Degradation) -> None:
        self.name = name
        self.degradation = degradation
        self._entries = tuple(entries)

    @property
    def scale(self) -> int:
        """HR pixels per LR pixel along each axis."""
        return self.degradation.scale

    @property
    def names(self) -> tuple[str, ...]:
        """The images' names, in order, without reading any."""
        return tuple(entry.name for entry in self._entries)

    @property
    def hr_sources(self) -> tuple[Source, ...]:
        """Where the HR images come from: sets that agree in this hold the same images."""
        return tuple(entry.hr for entry in self._entries)

    @property
    def makes_lr(self) -> bool:
        """Whether the LR images are made here rather than read from files."""
        return any(entry.lr is None for entry in self._entries)

    @cached_property
    def sha256(self) -> str:
        """A hash of names, pixels and how LR is made: that of an equal set, however it is stored.

        Images that were not read before are read for it.
        """
        for entry in self._entries:
            if not entry.sha256:
                entry.read(read_source)
        return self._hash(entry.sha256 for entry in self._entries)

    @cached_property
    def files_sha256(self) -> str:
        """A hash of names, files and how LR is made: equal if nothing was touched.

        No image is decoded for it.
        """
        return self._hash(
            " ".join(_stored_sha256(source) for source in (entry.hr, entry.lr) if source)
            for entry in self._entries
        )

    def _hash(self, contents: Iterable[str]) -> str:
        digest = hashlib.sha256()
        for entry, content in zip(self._entries, contents, strict=True):
            rule = "" if entry.lr else f"{self.degradation}"
            digest.update(f"{entry.name}\n{content}\n{rule}\n".encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> ImagePair: ...
    @overload
    def __getitem__(self, index: slice) -> "ImageSet": ...
    def __getitem__(self, index: int | slice) -> "ImagePair | ImageSet":
        if isinstance(index, slice):
            return ImageSet(self.name, self._entries[index], self.degradation)
        return self.pair(index)

    def pair(self, index: int, read: Reader = read_source) -> ImagePair:
        """Return one image.

        Args:
            index: of the image.
            read: what decodes files and photos; one that keeps what it has just read serves sets
                of the same HR images and different LR images.
        """
        entry = self._entries[index]
        hr, lr = entry.read(read)
        if lr is None:
            return make_pair(hr, self.degradation, entry.name, self.name)
        hr = _crop_to_lr(hr, lr, self.scale, f"{self.name}/{entry.name}")
        return ImagePair(entry.name, hr, lr, self.name)


def make_pair(
    hr: Tensor, degradation: Degradation, name: str = "image", dataset: str = ""
) -> ImagePair:
    """Make a pair from an HR image `(3, H, W)` by the paper's rule.

    HR is cropped (right and bottom) to multiples of 12, and to multiples of the scale where 12
    is not one; LR is what `degradation` makes of that.

    Raises:
        InputError: an image smaller than the crop's unit.

    >>> import torch
    >>> make_pair(torch.rand(3, 50, 40), Bicubic(4)).hr.shape
    torch.Size([3, 48, 36])
    """
    unit = MOD_CROP if MOD_CROP % degradation.scale == 0 else degradation.scale
    height, width = (size - size % unit for size in hr.shape[-2:])
    if min(height, width) == 0:
        raise InputError(
            f"{_label(name, dataset)}: HR image of {_size(hr)} pixels, "
            f"expected at least {unit} x {unit} for scale {degradation.scale}"
        )
    hr = hr[..., :height, :width]
    return ImagePair(name, hr, degradation(hr, key=name), dataset)


def photos(scale: int = 4, degradation: Degradation | None = None) -> ImageSet:
    """The built-in photos (see `PHOTOS`), which ship inside scikit-image.

    >>> photos().names
    ('astronaut', 'chelsea', 'coffee', 'rocket')
    """
    entries = [_Entry(photo.name, photo) for photo in PHOTOS]
    return ImageSet("photos", entries, degradation or Bicubic(scale))


def open_image(source: str | os.PathLike[str], scale: int = 4) -> ImageSet:
    """Open one HR image, a file or a built-in photo by its name, with LR made by bicubic.

    >>> open_image("coffee").names
    ('coffee',)
    """
    path = Path(source)
    built_in = photos(scale)
    if path.is_file():
        return open_data(path, scale)
    if str(source) not in built_in.names:
        raise InputError(
            f"{path}: no such image, expected a file or one of {', '.join(built_in.names)}"
        )
    index = built_in.names.index(str(source))
    return built_in[index : index + 1]


def open_data(
    location: str | os.PathLike[str],
    scale: int = 4,
    *,
    make_lr: bool = False,
    degradation: Degradation | None = None,
) -> ImageSet:
    """Open a data folder, or a single HR image.

    Layouts, looked for in this order: `image_SRF_4` (SelfExSR), `HR` or `*_HR` with
    `LR_bicubic/X4` (EDSR, DIV2K), `GTmod12` with `LRbicx4` (BasicSR), and images lying flat.

    Args:
        location: a path, or `NAME=PATH`; `photos`, where there is no such path, means the
            built-in ones. Without a name, the set is called after its folder, or after the parent
            of a folder called `HR`, `GTmod12` and the like.
        scale: HR pixels per LR pixel.
        make_lr: make the LR images even where the folder has some.
        degradation: how LR images are made, `Bicubic(scale)` unless given; giving one implies
            `make_lr`.

    Raises:
        InputError: nothing there, no image in it, or an LR image missing where others exist.
    """
    name, path = named_path(location)
    rule = degradation or Bicubic(scale)
    stored_lr = not make_lr and degradation is None
    if str(location) == "photos" and not path.exists():
        return photos(scale, rule)
    if path.is_file():
        return ImageSet(name or path.stem, [_Entry(path.stem, path)], rule)
    if not path.is_dir():
        raise InputError(f"{path}: no such folder or image")
    files, folder = _find_files(path, scale)
    if not files:
        inside = ", ".join(sorted(p.name for p in path.iterdir() if p.is_dir())[:5])
        hint = f"; its folders are {inside}" if inside else ""
        raise InputError(f"{path}: no images in it, expected {', '.join(SUFFIXES)}{hint}")
    entries = [_Entry(n, hr, lr if stored_lr else None) for n, hr, lr in files]
    return ImageSet(name or _folder_name(folder), entries, rule)


def _read_photo(name: str) -> Tensor:
    from skimage import data  # slow to import, and only the built-in photos need it

    return image_from_array(getattr(data, name)(), name=name)


def _stored_sha256(source: Source) -> str:
    """The hash of a file's bytes, or a photo's name: scikit-image ships its pixels."""
    if isinstance(source, Photo):
        return source.name
    return hashlib.sha256(source.read_bytes()).hexdigest()


def named_path(location: str | os.PathLike[str]) -> tuple[str | None, Path]:
    """The two parts of `NAME=DIR`; no name where a location is a path alone.

    >>> named_path("Set5=data/HR")
    ('Set5', PosixPath('data/HR'))
    """
    text = os.fspath(location)
    name, separator, rest = text.partition("=")
    if separator and os.sep not in name and not Path(text).exists():
        return name, Path(rest)
    return None, Path(text)


_Files = list[tuple[str, Path, Path | None]]


def _find_files(path: Path, scale: int) -> tuple[_Files, Path]:
    """The (name, HR, LR) files below `path`, and the folder that holds the HR ones."""
    for folder in (path, path / f"image_SRF_{scale}"):
        files = _selfexsr_files(folder, scale)
        if files:
            return files, folder
    for hr_pattern, lr_pattern in (
        ("HR", f"LR_bicubic/X{scale}"),
        ("*_HR", f"*_LR_bicubic/X{scale}"),
        ("GTmod12", f"LRbicx{scale}"),
    ):
        hr_folder = next((p for p in sorted(path.glob(hr_pattern)) if p.is_dir()), None)
        if hr_folder is not None:
            lr_folder = next((p for p in sorted(path.glob(lr_pattern)) if p.is_dir()), None)
            return _match(_images(hr_folder), lr_folder, scale), hr_folder
    return [(hr.stem, hr, None) for hr in _images(path)], path


def _selfexsr_files(folder: Path, scale: int) -> _Files:
    ending = f"_SRF_{scale}_HR"
    files: _Files = []
    for hr in _images(folder) if folder.is_dir() else []:
        if hr.stem.endswith(ending):
            lr = hr.with_name(hr.name.replace(ending, f"_SRF_{scale}_LR"))
            files.append((hr.stem.removesuffix(ending), hr, lr if lr.is_file() else None))
    return files


def _match(hr_files: list[Path], lr_folder: Path | None, scale: int) -> _Files:
    if lr_folder is None:
        return [(hr.stem, hr, None) for hr in hr_files]
    by_stem = {lr.stem: lr for lr in _images(lr_folder)}
    files: _Files = []
    for hr in hr_files:
        lr = by_stem.get(f"{hr.stem}x{scale}") or by_stem.get(hr.stem)
        if lr is None:
            raise InputError(
                f"{lr_folder}: no LR image for {hr.name}, expected {hr.stem}x{scale}.png or "
                f"{hr.stem}.png; --make-lr makes the LR images from HR"
            )
        files.append((hr.stem, hr, lr))
    return files


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())


def _folder_name(folder: Path) -> str:
    folder = folder.resolve()
    generic = re.fullmatch(r"(.*_)?HR|GTmod12|image_SRF_\d", folder.name)
    return folder.parent.name if generic else folder.name


def _crop_to_lr(hr: Tensor, lr: Tensor, scale: int, label: str) -> Tensor:
    for side, small in zip(hr.shape[-2:], lr.shape[-2:], strict=True):
        # LR files were made from HR cropped to a multiple of the scale, or of 12.
        if small not in (side // scale, (side - side % MOD_CROP) // scale):
            raise InputError(
                f"{label}: LR image of {_size(lr)} pixels, expected "
                f"{hr.shape[-2] // scale} x {hr.shape[-1] // scale} for an HR image of "
                f"{_size(hr)} at scale {scale}"
            )
    return hr[..., : lr.shape[-2] * scale, : lr.shape[-1] * scale]


def _label(name: str, dataset: str) -> str:
    return f"{dataset}/{name}" if dataset else name


def _size(image: Tensor) -> str:
    return f"{image.shape[-2]} x {image.shape[-1]}"
