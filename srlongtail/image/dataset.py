"""Pairs of HR and LR images: data folders in the layouts people have, and the built-in photos."""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, overload

from torch import Tensor

from srlongtail.errors import InputError, Parameter
from srlongtail.image.degrade import Bicubic, Degradation
from srlongtail.image.io import (
    ImageFacts,
    check_image,
    depth_note,
    image_from_array,
    read_checked,
)
from srlongtail.image.layouts import (
    Layout,
    PairFile,
    find_pairs,
    folder_says,
    images_below,
    set_name,
)

SKIP_BAD = Parameter("skip_bad", True)
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


@dataclass(frozen=True)
class LRSource:
    """Where the LR images of a data set came from.

    Attributes:
        source: "made" from HR, or "stored" in files.
        rule: how they were made; empty where they are stored.
        folder: where they are stored, inside the folder given; empty where they are made.
        cropped: the number of images whose HR and LR did not cover the same pixels, and were
            cropped to what they have in common.
        crop_px: the most HR pixels that were cut off along one side for that, of HR or LR.
        other_scales: the scales of LR images that are stored, but not used.

    >>> print(LRSource("stored", folder="LR_mild", cropped=2, crop_px=3))
    stored in LR_mild; HR and LR of 2 images cropped to their common part, by up to 3 HR pixels
    """

    source: Literal["made", "stored"]
    rule: str = ""
    folder: str = ""
    cropped: int = 0
    crop_px: int = 0
    other_scales: tuple[int, ...] = ()

    @property
    def short(self) -> str:
        """In a word or three, for a table: "stored", or how they were made."""
        return f"made by {self.rule}" if self.source == "made" else "stored"

    def __str__(self) -> str:
        text = f"made from HR by {self.rule}" if self.rule else f"stored in {self.folder}"
        if self.cropped:
            text += (
                f"; HR and LR of {self.cropped} images cropped to their common part, "
                f"by up to {self.crop_px} HR pixels"
            )
        if self.other_scales:
            text += f"; those stored are of scale {', '.join(map(str, self.other_scales))}"
        return text


@dataclass(frozen=True)
class Stored:
    """An image file, and what value is white in it (see `read_image`)."""

    path: Path
    white: float | None = None


Source = Stored | Photo  # where the pixels of an image come from
Reader = Callable[[Source], Tensor]


def read_source(source: Source) -> Tensor:
    """Read an image file or a built-in photo: RGB `(3, H, W)` in [0, 1].

    >>> read_source(PHOTOS[1]).shape
    torch.Size([3, 300, 451])
    """
    if isinstance(source, Photo):
        return _read_photo(source.name)
    return read_checked(source.path, source.white)


@dataclass
class _Entry:
    """An image of a set.

    Attributes:
        name: of the image.
        hr: where its HR image comes from.
        lr: its LR file; None where LR is made.
        hr_size: height and width of the pair's HR image; None where it is not known yet.
        crop_px: HR pixels cut off so that HR and LR cover the same pixels.
        covered: height and width of what is used of the HR image (top left); None for all of it.
        sha256: the hash of its pixels, once they were read.
    """

    name: str
    hr: Source
    lr: Stored | None = None
    hr_size: tuple[int, int] | None = None
    crop_px: int = 0
    covered: tuple[int, int] | None = None
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

    Where LR images are made, HR is cropped to multiples of 12 first (see `make_pair`). Where they
    are stored, HR and LR are cropped to the part that both have, which `lr_source` tells.
    """

    def __init__(
        self,
        name: str,
        entries: Iterable[_Entry],
        degradation: Degradation,
        lr_folder: str = "",
        other_scales: tuple[int, ...] = (),
    ) -> None:
        self.name = name
        self.degradation = degradation
        self._entries = tuple(entries)
        self._lr_folder = lr_folder
        self._other_scales = other_scales

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
    def files(self) -> tuple[Path, ...]:
        """The files of HR and LR images; the built-in photos have none of their own."""
        sources = [source for entry in self._entries for source in (entry.hr, entry.lr)]
        return tuple(source.path for source in sources if isinstance(source, Stored))

    @property
    def hr_sizes(self) -> tuple[tuple[int, int] | None, ...]:
        """Height and width of the pairs' HR images, without reading any; None where unknown."""
        return tuple(entry.hr_size for entry in self._entries)

    @property
    def makes_lr(self) -> bool:
        """Whether the LR images are made here rather than read from files."""
        return any(entry.lr is None for entry in self._entries)

    @property
    def lr_source(self) -> LRSource:
        """Where the LR images come from.

        >>> print(photos(4).lr_source)
        made from HR by bicubic
        """
        cropped = [entry.crop_px for entry in self._entries if entry.crop_px]
        return LRSource(
            source="made" if self.makes_lr else "stored",
            rule=self.degradation.name if self.makes_lr else "",
            folder="" if self.makes_lr else self._lr_folder,
            cropped=len(cropped),
            crop_px=max(cropped, default=0),
            other_scales=self._other_scales,
        )

    def without(self, names: Iterable[str]) -> "ImageSet":
        """The set without some of its images.

        >>> photos(4).without(["coffee", "rocket"]).names
        ('astronaut', 'chelsea')
        """
        left_out = set(names)
        return self._with(entry for entry in self._entries if entry.name not in left_out)

    def cropped(self, sizes: Mapping[str, tuple[int, int]]) -> "ImageSet":
        """The set with some HR images cropped (right and bottom), and their LR images alike.

        Args:
            sizes: name of an image -> height and width of what to keep of HR, at most.

        >>> photos(4)[1:2].cropped({"chelsea": (250, 250)})[0].hr.shape
        torch.Size([3, 240, 240])
        """
        entries = []
        for entry in self._entries:
            if entry.name in sizes:
                size = sizes[entry.name]
                label, scale = _label(entry.name, self.name), self.scale
                kept = size[0] - size[0] % scale, size[1] - size[1] % scale
                hr_size = kept if entry.lr else _cropped_size(size, scale, label)
                entry = replace(entry, covered=size, hr_size=hr_size)
            entries.append(entry)
        return self._with(entries)

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
            rule += f" {entry.covered}" if entry.covered else ""
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
            return self._with(self._entries[index])
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
        if entry.covered:
            height, width = entry.covered
            hr = hr[..., :height, :width]
            lr = None if lr is None else lr[..., : height // self.scale, : width // self.scale]
        if lr is None:
            return make_pair(hr, self.degradation, entry.name, self.name)
        label = _label(entry.name, self.name)
        height, width = _common_size(_size(hr), _size(lr), self.scale, label)
        hr = hr[..., : height * self.scale, : width * self.scale]
        return ImagePair(entry.name, hr, lr[..., :height, :width], self.name)

    def _with(self, entries: Iterable[_Entry]) -> "ImageSet":
        return ImageSet(self.name, entries, self.degradation, self._lr_folder, self._other_scales)


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
    height, width = _cropped_size(_size(hr), degradation.scale, _label(name, dataset))
    hr = hr[..., :height, :width]
    return ImagePair(name, hr, degradation(hr, key=name), dataset)


def photos(scale: int = 4, degradation: Degradation | None = None) -> ImageSet:
    """The built-in photos (see `PHOTOS`), which ship inside scikit-image.

    >>> photos().names
    ('astronaut', 'chelsea', 'coffee', 'rocket')
    """
    entries = [_Entry(photo.name, photo) for photo in PHOTOS]
    return ImageSet("photos", entries, degradation or Bicubic(scale))


def open_image(
    source: str | os.PathLike[str], scale: int = 4, *, white: float | None = None
) -> ImageSet:
    """Open one HR image, a file or a built-in photo by its name, with LR made by bicubic.

    Args:
        source: File, or name of a built-in photo.
        scale: HR pixels per LR pixel.
        white: Value that is white in files with more than 8 bits; see `read_image`.

    Raises:
        InputError: There is no such image, or it cannot be used.

    Example:
        >>> open_image("coffee").names
        ('coffee',)
    """
    path = Path(source)
    built_in = photos(scale)
    if path.is_file():
        return open_data(path, scale, white=white)
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
    lr_dir: str | os.PathLike[str] | None = None,
    white: float | None = None,
    skip_bad: bool = False,
    degradation: Degradation | None = None,
) -> ImageSet:
    """Open a data folder, or a single HR image, and check every file.

    HR and LR images are found by the names of folders and files, in the layouts that
    `srlongtail.image.layouts` lists. LR is made where a folder has no LR images, where `make_lr`
    says so, and where the folder of the HR images itself is given. LR images of this scale that
    would stay unused are an error. `ImageSet.lr_source` tells what was done.

    HR and LR that differ in size by up to two LR pixels are cropped to their common part.

    Args:
        location: a path, `NAME=PATH`, or `NAME=HR,LR` with the folder of the LR images; `photos`,
            where there is no such path, means the built-in ones. Without a name, the set is called
            after its folder, or after the parent of a folder called `HR`, `GTmod12` and the like.
        scale: HR pixels per LR pixel.
        make_lr: make the LR images even where the folder has some.
        lr_dir: the folder of the LR images (for a single HR image, the file).
        white: what value is white in files with more than 8 bits a channel (see `read_image`).
        skip_bad: leave out images that cannot be used, with a warning that names each, rather than
            raise an error.
        degradation: how LR images are made, `Bicubic(scale)` unless given; giving one implies
            `make_lr`.

    Raises:
        InputError: nothing there, no image in it, LR images that do not fit or are not used, or an
            image that is damaged, too small, or lacks its LR image.
    """
    name, path, lr_root = _parse(location)
    if lr_root is not None and lr_dir is not None:
        raise InputError(f"{location}: a second folder, and lr_dir={lr_dir}, expected one of them")
    lr_root = lr_root if lr_dir is None else Path(lr_dir)
    if lr_root is not None and (make_lr or degradation is not None):
        raise InputError(f"{lr_root}: LR images named, and LR to be made, expected one of these")
    rule = degradation or Bicubic(scale)
    if str(location) == "photos" and not path.exists() and lr_root is None:
        return photos(scale, rule)
    if lr_root is not None and not lr_root.exists():
        raise InputError(f"{lr_root}: no such folder of LR images")
    if path.is_file():
        layout = _single(path, lr_root)
    elif path.is_dir():
        makes_lr = make_lr or degradation is not None
        layout = find_pairs(path, scale, make_lr=makes_lr, lr_dir=lr_root)
        name = name or set_name(layout.hr_folder)
    else:
        raise InputError(f"{path}: no such folder or image")
    name = name or path.stem
    entries = _checked(layout, name, rule, white=white, skip_bad=skip_bad)
    return ImageSet(name, entries, rule, _inside(layout.lr_folder, path), layout.other_scales)


def open_files(
    name: str, files: Mapping[str, Path], degradation: Degradation | None = None
) -> ImageSet:
    """Open HR image files from any folders as one data set, and check every file; LR is made.

    Args:
        name: Of the set.
        files: Name of an image -> its file.
        degradation: How LR is made; `Bicubic(4)` unless given.

    Raises:
        InputError: An image that is damaged or too small.
    """
    rule = degradation or Bicubic(4)
    layout = Layout(tuple(PairFile(*named) for named in files.items()), Path(), None)
    return ImageSet(name, _checked(layout, name, rule, white=None, skip_bad=False), rule)


def stated_scales(
    location: str | os.PathLike[str], *, lr_dir: str | os.PathLike[str] | None = None
) -> set[int]:
    """Return the scales that the LR images of a data folder have by their names.

    Args:
        location, lr_dir: see `open_data`.
    """
    _, path, lr_root = _parse(location)
    lr_root = Path(lr_dir) if lr_dir is not None else lr_root
    root = lr_root or path
    said = {folder_says(root.name).scale} if lr_root else set()
    for file in images_below(root) if root.is_dir() else []:
        if lr_root or file.role == "LR":
            said.add(file.scale or file.names[-1].scale)
    return {scale for scale in said if scale is not None}


def _checked(
    layout: Layout, dataset: str, rule: Degradation, *, white: float | None, skip_bad: bool
) -> list[_Entry]:
    """The images that can be used; the others are named, in an error or in warnings."""
    entries: list[_Entry] = []
    facts: list[ImageFacts] = []
    bad: dict[str, InputError] = {}
    for files in layout.files:
        try:
            entry, found = _check(files, dataset, rule, white)
        except InputError as error:
            bad[files.name] = error
        else:
            entries.append(entry)
            facts += found
    if bad and (not skip_bad or not entries):
        first, them = next(iter(bad.values())), "it"
        if len(bad) > 1:
            them = "them"
            names = ", ".join(bad)
            first = first.followed_by(f" ({len(bad)} of {len(layout.files)} images: {names})")
        raise first.followed_by("; ", SKIP_BAD, f" leaves {them} out") if entries else first
    for reason in bad.values():
        warnings.warn(reason.as_warning().about("left out"), stacklevel=3)
    note = depth_note(facts, white)
    if note:
        warnings.warn(note.about(dataset), stacklevel=3)
    return entries


def _check(
    files: PairFile, dataset: str, rule: Degradation, white: float | None
) -> tuple[_Entry, list[ImageFacts]]:
    if files.problem is not None:
        raise files.problem
    label = _label(files.name, dataset)
    hr = check_image(files.hr, white)
    stored_hr = Stored(files.hr, white)
    if files.lr is None:
        size = _cropped_size((hr.height, hr.width), rule.scale, label)
        return _Entry(files.name, stored_hr, hr_size=size), [hr]
    lr = check_image(files.lr, white)
    full, small = (hr.height, hr.width), (lr.height, lr.width)
    height, width = (side * rule.scale for side in _common_size(full, small, rule.scale, label))
    crop = max(
        _crop_px(side, less * rule.scale, common, rule.scale)
        for side, less, common in zip(full, small, (height, width), strict=True)
    )
    stored_lr = Stored(files.lr, white)
    return _Entry(files.name, stored_hr, stored_lr, (height, width), crop), [hr, lr]


def _inside(folder: Path | None, root: Path) -> str:
    """The LR folder as results name it: relative to the folder given, else by its own name."""
    if folder is None:
        return ""
    inside = folder != root and folder.is_relative_to(root)
    return folder.relative_to(root).as_posix() if inside else folder.resolve().name


def _single(path: Path, lr: Path | None) -> Layout:
    """One HR image, with the LR file, or the folder that has it."""
    if lr is None or lr.is_file():
        files = PairFile(path.stem, path, lr)
        return Layout((files,), path.parent, None if lr is None else lr.parent)
    raise InputError(f"{lr}: a folder of LR images, expected the LR image of {path.name}")


def _read_photo(name: str) -> Tensor:
    from skimage import data  # slow to import, and only the built-in photos need it

    return image_from_array(getattr(data, name)(), name=name)


def _stored_sha256(source: Source) -> str:
    """The hash of a file's bytes, or a photo's name: scikit-image ships its pixels."""
    if isinstance(source, Photo):
        return source.name
    white = "" if source.white is None else f" {source.white:g}"
    return hashlib.sha256(source.path.read_bytes()).hexdigest() + white


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


def _parse(location: str | os.PathLike[str]) -> tuple[str | None, Path, Path | None]:
    """The parts of `NAME=HR,LR`: the name and the LR folder are None where they are not given."""
    name, path = named_path(location)
    hr, separator, lr = str(path).rpartition(",")
    if separator and not path.exists():
        return name, Path(hr), Path(lr)
    return name, path, None


def _cropped_size(size: tuple[int, int], scale: int, label: str) -> tuple[int, int]:
    """The size of an HR image whose LR image is to be made."""
    unit = MOD_CROP if MOD_CROP % scale == 0 else scale
    height, width = (side - side % unit for side in size)
    if min(height, width) == 0:
        raise InputError(
            f"{label}: HR image of {size[0]} x {size[1]} pixels, "
            f"expected at least {unit} x {unit} for scale {scale}"
        )
    return height, width


def _common_size(
    hr: tuple[int, int], lr: tuple[int, int], scale: int, label: str
) -> tuple[int, int]:
    """The size in LR pixels of what HR and LR both have, from the top left corner.

    Sides that differ by more than two LR pixels, or eight HR pixels, and by other than a crop to a
    multiple of 12 are no pair.
    """
    common = []
    for side, small in zip(hr, lr, strict=True):
        whole = small in (side // scale, (side - side % MOD_CROP) // scale)
        if not whole and abs(side - small * scale) > max(2 * scale, 8):
            fits = max(1, round(side / small))
            hint = f", but scale {fits} fits" if hr[0] // fits == lr[0] and fits != scale else ""
            raise InputError(
                f"{label}: LR image of {lr[0]} x {lr[1]} pixels, expected "
                f"{hr[0] // scale} x {hr[1] // scale} for an HR image of "
                f"{hr[0]} x {hr[1]} at scale {scale}{hint}"
            )
        common.append(min(side // scale, small))
    return common[0], common[1]


def _crop_px(hr: int, lr: int, common: int, scale: int) -> int:
    """HR pixels cut off HR or LR (in HR pixels); 0 where HR loses what any crop for LR does."""
    if lr == common and lr // scale in (hr // scale, (hr - hr % MOD_CROP) // scale):
        return 0
    return max(hr, lr) - common


def _label(name: str, dataset: str) -> str:
    return f"{dataset}/{name}" if dataset else name


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[-2], image.shape[-1]
