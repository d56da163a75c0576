"""Pairs of HR and LR images: data folders in the common layouts, and the built-in photos."""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, overload

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
    """A photo that ships inside scikit-image.

    Attributes:
        name: Its name in `skimage.data`.
        license: The license that allows us to show it.
        credit: Whom to credit.
    """

    name: str
    license: str
    credit: str


PHOTOS = (
    Photo("astronaut", "public domain", "NASA, portrait of Eileen Collins"),
    Photo("chelsea", "CC0", "Stefan van der Walt"),
    Photo("coffee", "CC0", "Rachel Michetti, Pikolo Espresso Bar"),
    Photo("rocket", "public domain", "SpaceX, launch of DSCOVR"),
)


@dataclass(frozen=True)
class ImagePair:
    """An HR image and its LR image.

    Attributes:
        name: Name of the image.
        hr: RGB `(3, H, W)` in [0, 1].
        lr: RGB `(3, H / scale, W / scale)` in [0, 1].
        dataset: Name of its data set; empty without one.
    """

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
    """Source of the LR images of a data set.

    Attributes:
        source: "made" from HR, or "stored" in files.
        rule: How they are made; empty if they are stored.
        folder: Their folder inside the data folder; empty if they are made.
        cropped: Number of images whose HR and LR cover different pixels and are cropped to their
            common part.
        crop_px: Largest number of HR pixels cut off one side for that, of HR or LR.
        other_scales: Scales of stored LR images that are not used.

    Example:
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
        """A short form for tables: "stored", or how they are made."""
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
    """An image file, and the value that is white in it; see `read_image`."""

    path: Path
    white: float | None = None


Source = Stored | Photo  # where the pixels of an image come from
Reader = Callable[[Source], Tensor]
ForEach = Callable[[Callable[..., Any], Sequence[Any]], Iterable[Any]]


def read_source(source: Source) -> Tensor:
    """Return an image file or a built-in photo as RGB `(3, H, W)` in [0, 1].

    Raises:
        InputError: The file cannot be used; see `read_image`.

    Example:
        >>> read_source(PHOTOS[1]).shape
        torch.Size([3, 300, 451])
    """
    if isinstance(source, Photo):
        from skimage import data  # slow to import, and only the built-in photos need it

        return image_from_array(getattr(data, source.name)(), name=source.name)
    return read_checked(source.path, source.white)


@dataclass
class _Entry:
    """An image of a set.

    Attributes:
        name: Name of the image.
        hr: Source of its HR image.
        lr: Its LR file; None if LR is made.
        hr_size: Height and width of the pair's HR image; None while unknown.
        crop_px: HR pixels cut off so that HR and LR cover the same pixels.
        covered: Height and width of the part of the HR image that is used (top left); None for
            all of it.
        sha256: Hash of its pixels, once they have been read.
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
    """A named sequence of `ImagePair`; images are read on demand and not kept.

    If LR images are made, HR is cropped to multiples of 12 first; see `make_pair`. If they are
    stored, HR and LR are cropped to their common part, which `lr_source` reports.

    Args:
        name: Name of the set.
        entries: Its images.
        degradation: How LR images are made, and the scale.
        lr_folder: Folder of the stored LR images inside the data folder.
        other_scales: Scales of stored LR images that are not used.
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
        """Names of the images, in order; no image is read."""
        return tuple(entry.name for entry in self._entries)

    @property
    def hr_sources(self) -> tuple[Source, ...]:
        """Sources of the HR images; sets with equal sources hold the same images."""
        return tuple(entry.hr for entry in self._entries)

    @property
    def files(self) -> tuple[Path, ...]:
        """Files of HR and LR images; the built-in photos have none."""
        sources = [source for entry in self._entries for source in (entry.hr, entry.lr)]
        return tuple(source.path for source in sources if isinstance(source, Stored))

    @property
    def hr_sizes(self) -> tuple[tuple[int, int] | None, ...]:
        """Height and width of the pairs' HR images, None if unknown; no image is read."""
        return tuple(entry.hr_size for entry in self._entries)

    @property
    def makes_lr(self) -> bool:
        """Whether LR images are made rather than read from files."""
        return any(entry.lr is None for entry in self._entries)

    @property
    def lr_source(self) -> LRSource:
        """Source of the LR images.

        Example:
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
        """Return the set without some of its images.

        Args:
            names: Names of the images to leave out.

        Example:
            >>> photos(4).without(["coffee", "rocket"]).names
            ('astronaut', 'chelsea')
        """
        left_out = set(names)
        return self._with(entry for entry in self._entries if entry.name not in left_out)

    def cropped(self, sizes: Mapping[str, tuple[int, int]]) -> "ImageSet":
        """Return the set with some images cropped (right and bottom), HR and LR alike.

        Args:
            sizes: Name of an image -> largest height and width of its HR image.

        Example:
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
        """Hash of names, pixels and degradation; equal for equal sets, however they are stored.

        Images that have not been read yet are read.
        """
        for entry in self._entries:
            if not entry.sha256:
                entry.read(read_source)
        return self._hash(entry.sha256 for entry in self._entries)

    @cached_property
    def files_sha256(self) -> str:
        """Hash of names, files and degradation; equal if no file has changed.

        No image is decoded.
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
            index: Index of the image.
            read: Function that decodes a source; with a cache, it serves several sets that share HR
                images.

        Raises:
            InputError: The files cannot be used.
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
    """Make a pair from an HR image by the paper's rule.

    HR is cropped (right and bottom) to multiples of 12, or of the scale if 12 is not divisible by
    it; `degradation` makes LR from the cropped image.

    Args:
        hr: RGB `(3, H, W)` in [0, 1].
        degradation: How LR is made.
        name: Name of the image.
        dataset: Name of its data set.

    Raises:
        InputError: The image is too small for the crop.

    Example:
        >>> import torch
        >>> make_pair(torch.rand(3, 50, 40), Bicubic(4)).hr.shape
        torch.Size([3, 48, 36])
    """
    height, width = _cropped_size(_size(hr), degradation.scale, _label(name, dataset))
    hr = hr[..., :height, :width]
    return ImagePair(name, hr, degradation(hr, key=name), dataset)


def photos(scale: int = 4, degradation: Degradation | None = None) -> ImageSet:
    """Return the built-in photos, which ship inside scikit-image; see `PHOTOS`.

    Args:
        scale: HR pixels per LR pixel.
        degradation: How LR is made; default: `Bicubic(scale)`.

    Example:
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
    if os.path.isfile(path):  # Path.is_file raises an error for names that are too long
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
    for_each: ForEach = map,
) -> ImageSet:
    """Open a data folder, or a single HR image, and check every file.

    Names of folders and files tell HR and LR images, in the layouts that
    `srlongtail.image.layouts` lists. LR is made if a folder has no LR images, if `make_lr` is set,
    and if the folder of the HR images itself is given. LR images of this scale that would stay
    unused are an error. `ImageSet.lr_source` reports what was done.

    HR and LR that differ in size by up to two LR pixels are cropped to their common part.

    Args:
        location: A path, `NAME=PATH`, or `NAME=HR,LR` with the folder of the LR images; `photos`
            for the built-in ones, unless there is such a path. The default name is the folder's,
            or the parent's for a folder called `HR`, `GTmod12` and the like.
        scale: HR pixels per LR pixel.
        make_lr: Make the LR images even if the folder holds some.
        lr_dir: Folder of the LR images; for a single HR image, the LR file.
        white: Value that is white in files with more than 8 bits per channel; see `read_image`.
        skip_bad: Leave out unusable images, with a warning that names each, instead of raising an
            error.
        degradation: How LR images are made; implies `make_lr`; default: `Bicubic(scale)`.
        for_each: Function that calls a function with each of some items, and returns the results;
            `srlongtail.parallel.map_shared`, if all processes of `torchrun` make this call, so
            that each checks a part of the files.

    Raises:
        InputError: The location does not exist or holds no image, LR images do not fit or are not
            used, or an image is damaged, too small, or without its LR image.
    """
    name, path, lr_root = _parse(location)
    if lr_root is not None and lr_dir is not None:
        raise InputError(f"{location}: an LR folder, beside lr_dir={lr_dir}, expected one of them")
    lr_root = lr_root if lr_dir is None else Path(lr_dir)
    if lr_root is not None and (make_lr or degradation is not None):
        raise InputError(f"{lr_root}: LR images beside LR to be made, expected one of them")
    rule = degradation or Bicubic(scale)
    if str(location) == "photos" and not path.exists() and lr_root is None:
        return photos(scale, rule)
    if lr_root is not None and not lr_root.exists():
        raise InputError(f"{lr_root}: no such folder, expected one of LR images")
    if path.is_file():
        layout = _single(path, lr_root)
    elif path.is_dir():
        makes_lr = make_lr or degradation is not None
        layout = find_pairs(path, scale, make_lr=makes_lr, lr_dir=lr_root)
        name = name or set_name(layout.hr_folder)
    else:
        raise InputError(f"{path}: no such folder or image, expected HR images")
    name = name or path.stem
    entries = _checked(layout, name, rule, white=white, skip_bad=skip_bad, for_each=for_each)
    return ImageSet(name, entries, rule, _inside(layout.lr_folder, path), layout.other_scales)


def open_files(
    name: str, files: Mapping[str, Path], degradation: Degradation | None = None
) -> ImageSet:
    """Open HR image files from any folders as one data set, and check every file; LR is made.

    Args:
        name: Name of the set.
        files: Name of an image -> its file.
        degradation: How LR is made; default: `Bicubic(4)`.

    Raises:
        InputError: An image is damaged or too small.
    """
    rule = degradation or Bicubic(4)
    layout = Layout(tuple(PairFile(*named) for named in files.items()), Path(), None)
    entries = _checked(layout, name, rule, white=None, skip_bad=False, for_each=map)
    return ImageSet(name, entries, rule)


def stated_scales(
    location: str | os.PathLike[str], *, lr_dir: str | os.PathLike[str] | None = None
) -> set[int]:
    """Return the scales of the LR images in a data folder, by their names.

    Args:
        location: The data folder; see `open_data`.
        lr_dir: Folder of the LR images; see `open_data`.
    """
    _, path, lr_root = _parse(location)
    lr_root = Path(lr_dir) if lr_dir is not None else lr_root
    root = lr_root or path
    scales = {folder_says(root.name).scale} if lr_root else set()
    for file in images_below(root) if root.is_dir() else []:
        if lr_root or file.role == "LR":
            scales.add(file.scale or file.names[-1].scale)
    return {scale for scale in scales if scale is not None}


def _checked(
    layout: Layout,
    dataset: str,
    rule: Degradation,
    *,
    white: float | None,
    skip_bad: bool,
    for_each: ForEach,
) -> list[_Entry]:
    """Return the usable images; the others are named in an error or in warnings."""
    entries: list[_Entry] = []
    facts: list[ImageFacts] = []
    bad: dict[str, InputError] = {}
    check = partial(_check, white=white)
    for files, found in zip(layout.files, for_each(check, layout.files), strict=True):
        try:
            if isinstance(found, InputError):
                raise found
            entry = _entry(files, found, dataset, rule, white)
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


def _check(files: PairFile, white: float | None) -> list[ImageFacts] | InputError:
    """Return the facts of an image's files, or why they cannot be used."""
    try:
        if files.problem is not None:
            raise files.problem
        return [check_image(path, white) for path in (files.hr, files.lr) if path is not None]
    except InputError as error:
        return error


def _entry(
    files: PairFile, facts: list[ImageFacts], dataset: str, rule: Degradation, white: float | None
) -> _Entry:
    label = _label(files.name, dataset)
    hr, stored_hr = facts[0], Stored(files.hr, white)
    if files.lr is None:
        size = _cropped_size((hr.height, hr.width), rule.scale, label)
        return _Entry(files.name, stored_hr, hr_size=size)
    lr = facts[1]
    full, small = (hr.height, hr.width), (lr.height, lr.width)
    height, width = (side * rule.scale for side in _common_size(full, small, rule.scale, label))
    crop = max(
        _crop_px(side, less * rule.scale, common, rule.scale)
        for side, less, common in zip(full, small, (height, width), strict=True)
    )
    return _Entry(files.name, stored_hr, Stored(files.lr, white), (height, width), crop)


def _inside(folder: Path | None, root: Path) -> str:
    """Return the LR folder's name in results: relative to the data folder, if it is inside."""
    if folder is None:
        return ""
    inside = folder != root and folder.is_relative_to(root)
    return folder.relative_to(root).as_posix() if inside else folder.resolve().name


def _single(path: Path, lr: Path | None) -> Layout:
    """Return the layout of one HR image, with its LR file if there is one."""
    if lr is None or lr.is_file():
        files = PairFile(path.stem, path, lr)
        return Layout((files,), path.parent, None if lr is None else lr.parent)
    raise InputError(f"{lr}: a folder of LR images, expected the LR image of {path.name}")


def _stored_sha256(source: Source) -> str:
    """Return the hash of a file's bytes, or a photo's name: scikit-image ships its pixels."""
    if isinstance(source, Photo):
        return source.name
    white = "" if source.white is None else f" {source.white:g}"
    return hashlib.sha256(source.path.read_bytes()).hexdigest() + white


def named_path(location: str | os.PathLike[str]) -> tuple[str | None, Path]:
    """Split `NAME=DIR` into its parts; the name is None for a path alone.

    Example:
        >>> named_path("Set5=data/HR")
        ('Set5', PosixPath('data/HR'))
    """
    text = os.fspath(location)
    name, separator, rest = text.partition("=")
    if separator and os.sep not in name and not Path(text).exists():
        return name, Path(rest)
    return None, Path(text)


def _parse(location: str | os.PathLike[str]) -> tuple[str | None, Path, Path | None]:
    """Split `NAME=HR,LR` into its parts; name and LR folder are None if they are not given."""
    name, path = named_path(location)
    hr, separator, lr = str(path).rpartition(",")
    if separator and not path.exists():
        return name, Path(hr), Path(lr)
    return name, path, None


def _cropped_size(size: tuple[int, int], scale: int, label: str) -> tuple[int, int]:
    """Return the size of an HR image after the crop for making LR."""
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
    """Return the size in LR pixels of the part that HR and LR share, from the top left corner.

    Raises:
        InputError: A side differs by more than two LR pixels or eight HR pixels, and not by a crop
            to a multiple of 12.
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
    """Return the HR pixels cut off HR or LR; 0 if HR only loses what any crop for LR does."""
    if lr == common and lr // scale in (hr // scale, (hr - hr % MOD_CROP) // scale):
        return 0
    return max(hr, lr) - common


def _label(name: str, dataset: str) -> str:
    return f"{dataset}/{name}" if dataset else name


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[-2], image.shape[-1]
