"""Find HR images and their LR images below a folder, for testing and training alike.

The names of folders and files tell what they hold: a role (HR or LR), a scale, and the image's own
name, in upper or lower case. The remaining words of the folders' names tell one set of images from
another. This covers the common layouts: `HR` with `LR_bicubic/X4` (EDSR), `DIV2K_valid_HR` with
`DIV2K_valid_LR_mild` (NTIRE), `GTmod12` with `LRbicx4` (BasicSR), `HR/Set5/x4` with
`LR/LRBI/Set5/x4` (RCAN), `image_SRF_4` (SelfExSR), `Test_x4/test_HR` with `Test_x4/test_LR`
(DRealSR), and pairs in one folder, such as `1_HR.png` with `1_LR4.png` (RealSR) or `1.png` with
`1x4.png`.
"""

import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Literal

from srlongtail.errors import InputError, Parameter
from srlongtail.image.io import SUFFIXES

Role = Literal["HR", "LR"]

MAKE_LR = Parameter("make_lr", True)
LR_DIR = Parameter("lr_dir", "DIR")

_DEPTH = 6  # levels of folders below the one given
_SCALES = range(2, 17)
_SPLITS = {"train", "training", "test", "testing", "valid", "validation", "val"}

# A role stands at the start of a word, or after a lower-case letter, as in "testLR".
_LR_FOLDER = re.compile(
    r"(?:^|[^a-z])(?:bic)?l[rq]|(?<=[a-z])(?-i:LR)|low[-_ ]?(?:res|quality)|^(?:low|inputs?)$",
    re.I,
)
_HR_FOLDER = re.compile(
    r"(?:^|[^a-z])(?:hr|gt(?:[-_]?mod\d+)?)(?=$|x\d|[^a-z])|(?<=[a-z])(?-i:HR|GT)(?![a-z])"
    r"|high[-_ ]?res|^high$|ground[-_ ]?truth|^originals?$|^targets?$",
    re.I,
)
_SCALE = re.compile(
    r"(?:image)?[-_ ]?srf[-_]?(\d+)|(?:^|(?<=[^a-z]))x(\d+)|(?<![a-z0-9])(\d+)x(?![a-z0-9])", re.I
)
_ROLE_SCALE = re.compile(r"x(\d+)(?!\d)", re.I)  # LRbicx4, HRx4
_LR_NUMBER = re.compile(r"lr(\d+)$", re.I)

# Marks at the end or the start of an image's name.
_LR_KIND = r"(?:BI|BD|DN|bic(?:ubic)?|blur|mild|wild|difficult|unknown)"
_MARK = re.compile(
    rf"""
    (?:[-_. ]SRF[-_]?(?P<srf>\d+))?(?:[-_. ]|(?<=[a-z0-9])(?-i:(?=HR|GT|LR|bicLR)))
        (?:(?P<hr>HR|GT)|(?P<lr>(?:bic(?:ubic)?[-_]?)?L[RQ](?:[-_]?{_LR_KIND})?))
        (?:[-_]?x?(?P<n>\d+)x?(?:[mdw]\d?)?)?$
    | [-_. ]?x(?P<x>\d+)(?:[mdw]\d?)?$
    | [-_. ](?P<times>\d+)x$
    | [-_. ]{_LR_KIND}$
    | ^(?:(?P<hr_first>HR|GT)|(?P<lr_first>L[RQ]))[-_. ]
    """,
    re.I | re.X,
)


@dataclass(frozen=True)
class _Name:
    """An image's name without some of its marks, and the role and scale that these marks state."""

    text: str
    role: Role | None = None
    scale: int | None = None

    @property
    def core(self) -> str:
        """The name for comparisons, which ignore upper and lower case."""
        return self.text.casefold()


def names_of(stem: str) -> tuple[_Name, ...]:
    """Return a file's name as it is, then without one mark, without two, and so on.

    Args:
        stem: Name of the file without its suffix.

    Example:
        >>> [name.text for name in names_of("baby_HR_x4")]
        ['baby_HR_x4', 'baby']
    """
    left, names = stem, [_Name(stem)]
    while (mark := _MARK.search(left)) and mark.span() != (0, len(left)):
        left = left[: mark.start()] + left[mark.end() :]
        found = mark.groupdict()
        role = names[-1].role
        if role is None and (found["lr"] or found["lr_first"]):
            role = "LR"
        elif role is None and (found["hr"] or found["hr_first"]):
            role = "HR"
        number = next((found[key] for key in ("srf", "n", "x", "times") if found[key]), None)
        names.append(_Name(left, role, names[-1].scale or _scale(number)))
    return tuple(names)


@dataclass(frozen=True)
class FolderSays:
    """The content of a folder, by its name.

    Attributes:
        role: "HR" or "LR"; None if the name states neither.
        scale: HR pixels per LR pixel; None if the name does not state it.
        words: The remaining words of the name.
    """

    role: Role | None
    scale: int | None
    words: tuple[str, ...]


def folder_says(name: str, *, number_is_scale: bool = False) -> FolderSays:
    """Return what a folder holds, by its name.

    Args:
        name: Name of the folder.
        number_is_scale: Whether a name that is only a number is a scale.

    Example:
        >>> folder_says("DIV2K_valid_LR_bicubic")
        FolderSays(role='LR', scale=None, words=('div2k', 'valid'))
    """
    lr, hr = _LR_FOLDER.search(name), _HR_FOLDER.search(name)
    mark = lr or hr
    found = _SCALE.search(name) or _LR_NUMBER.search(name)
    if mark and not found:
        found = _ROLE_SCALE.search(name, mark.start())
    if number_is_scale and name.isdigit():
        found = re.fullmatch(r"(\d+)", name)
    scale = _scale(next(filter(None, found.groups()))) if found else None
    if mark is not None:
        # Of what follows the role only a split tells sets apart: LR_bicubic and LR_mild are of one.
        after = [word for word in _words(name[mark.end() :]) if word in _SPLITS]
        role: Role = "LR" if lr else "HR"
        return FolderSays(role, scale, (*_words(name[: mark.start()]), *after))
    if found is not None and scale is not None:
        name = f"{name[: found.start()]} {name[found.end() :]}"
    return FolderSays(None, scale, tuple(_words(name)))


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", text.casefold()) if word]


def _scale(digits: str | None) -> int | None:
    return int(digits) if digits and int(digits) in _SCALES else None


@dataclass(frozen=True)
class ImageFile:
    """An image file, and what its name and its folders' names state.

    Attributes:
        path: The file.
        role: "HR" or "LR"; None if no name states it.
        scale: HR pixels per LR pixel, if the folders state it, or the file's name with its role.
        group: Words that tell its set from others.
        names: Its name with and without the marks of role and scale.
    """

    path: Path
    role: Role | None
    scale: int | None
    group: tuple[str, ...]
    names: tuple[_Name, ...]

    @property
    def image_name(self) -> str:
        """The file's name without its suffix and without the mark of its role."""
        return next((name.text for name in self.names if name.role is not None), self.path.stem)


def is_visible(path: Path) -> bool:
    """Return whether a file or folder is the user's own, not one of an archive program or system.

    Example:
        >>> is_visible(Path("HR/._baby.png")), is_visible(Path("HR/baby.png"))
        (False, True)
    """
    return not path.name.startswith(".") and path.name != "__MACOSX"


def images_below(root: Path, depth: int = _DEPTH) -> list[ImageFile]:
    """Return all image files below a folder, sorted; hidden ones are left out.

    The name of `root` itself has no meaning: a user who names an LR folder wants its images.

    Args:
        root: The folder.
        depth: Levels of folders below it to search.
    """
    files: list[ImageFile] = []
    for folder, children in _walk(root, depth):
        images = [child for child in children if child.suffix.lower() in SUFFIXES]
        # Images behind broken links are listed: reading them is an error that names them.
        files += _read(root, folder, [p for p in images if p.is_file() or is_broken_link(p)])
        for link in children:
            if is_broken_link(link) and link not in images:
                warnings.warn(f"left out: {_broken(link)}", stacklevel=2)
    if all(file.role != "HR" for file in files):
        return files
    # Beside HR images, a folder that is called after a scale alone, such as X4, holds LR images.
    return [
        replace(file, role="LR") if file.role is None and file.scale and not file.group else file
        for file in files
    ]


def visible_in(folder: Path) -> list[Path]:
    """Return what is directly in a folder, sorted, without hidden files and links to folders above.

    Raises:
        InputError: The folder may not be read.
    """
    try:
        children = sorted(filter(is_visible, folder.iterdir()))
    except PermissionError as error:
        raise InputError(f"{folder}: a folder that cannot be read: {error.strerror}") from error
    here = folder.resolve()
    return [
        child
        for child in children
        if not (child.is_symlink() and child.exists() and here.is_relative_to(child.resolve()))
    ]


def is_broken_link(path: Path) -> bool:
    """Return whether a path is a symbolic link to something that does not exist."""
    return path.is_symlink() and not path.exists()


def _broken(link: Path) -> str:
    return f"{link}: a link to {os.readlink(link)}, which does not exist"


def _walk(folder: Path, depth: int) -> Iterator[tuple[Path, list[Path]]]:
    """Yield a folder and the folders below it, each with what lies directly in it."""
    children = visible_in(folder)
    yield folder, children
    if depth:
        for child in children:
            if child.is_dir():
                yield from _walk(child, depth - 1)


def _read(root: Path, folder: Path, paths: list[Path]) -> Iterator[ImageFile]:
    """Yield the images of one folder; only together do their names tell what a bare "x4" means."""
    names = {path: names_of(path.stem) for path in paths}
    marked = any(of_file[-1].role for of_file in names.values())
    parts = [folder_says(p, number_is_scale=marked) for p in folder.relative_to(root).parts]
    of_folder = next((part.role for part in reversed(parts) if part.role), None)
    scale = next((part.scale for part in reversed(parts) if part.scale), None)
    group = tuple(word for part in parts for word in part.words)
    whole = {of_file[0].core for of_file in names.values()} | {
        name.core for of_file in names.values() for name in of_file if name.role == "HR"
    }
    for path in paths:
        own = names[path][-1].role
        role: Role | None = own or of_folder
        # "1x4" beside "1" is its LR image; in a folder of HR images it is just a name.
        without = names[path][1] if len(names[path]) > 1 else names[path][0]
        beside_hr = role is None and without.scale is not None and without.core in whole
        if "LR" in (own, of_folder) or beside_hr:
            role = "LR"
        said = next((name.scale for name in names[path] if name.role), None)
        yield ImageFile(path, role, said or scale, group, names[path])


@dataclass(frozen=True)
class PairFile:
    """The files of one image.

    Attributes:
        name: Name of the image.
        hr: The HR file.
        lr: The LR file; None if LR is made, or if there is a problem.
        problem: Why an expected LR file is missing.
    """

    name: str
    hr: Path
    lr: Path | None = None
    problem: InputError | None = None


@dataclass(frozen=True)
class Layout:
    """The pairs of one set of images below a folder.

    Attributes:
        files: One entry per HR image.
        hr_folder: Folder of the HR images.
        lr_folder: Folder of the LR images; None if LR is to be made.
        other_scales: Scales of the LR images that are there, if none has the requested scale.
    """

    files: tuple[PairFile, ...]
    hr_folder: Path
    lr_folder: Path | None
    other_scales: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Option:
    """The HR images of one folder, and the LR images that they may have.

    Attributes:
        hr: The HR images.
        matches: LR folder -> HR image -> the LR images that fit it equally well.
        idle: LR folders of this set whose images fit no HR image by their names.
        other_scales: Scales of other LR images of this set.
    """

    hr: tuple[ImageFile, ...]
    matches: dict[Path, dict[ImageFile, list[ImageFile]]]
    idle: list[Path]
    other_scales: tuple[int, ...]

    @property
    def folder(self) -> Path:
        return self.hr[0].path.parent

    @property
    def group(self) -> tuple[str, ...]:
        return self.hr[0].group

    def rank(self, scale: int) -> tuple[bool, bool, bool, int, str]:
        """Return a key by which folders that hold the same images are sorted, the best first."""
        cropped = re.search(r"mod[-_]?(\d+)$", self.folder.name)
        unfit = cropped is not None and int(cropped[1]) % scale != 0
        stated = self.hr[0].scale == scale
        return not self.matches, not stated, unfit, len(self.folder.name), self.folder.name


def find_pairs(
    root: Path, scale: int, *, make_lr: bool = False, lr_dir: Path | None = None
) -> Layout:
    """Return the HR images below a folder, and the LR images that belong to them.

    Args:
        root: The folder. If it holds HR images itself, and no LR images, LR is made.
        scale: HR pixels per LR pixel.
        make_lr: Ignore LR images.
        lr_dir: Folder of the LR images, anywhere.

    Raises:
        InputError: There are no HR images, those of several sets, or only some of another scale; or
            LR images inside that have this scale, or state none, stay unused.
    """
    if not make_lr and lr_dir is None:
        for link in (child for _, children in _walk(root, _DEPTH) for child in children):
            is_image = link.suffix.lower() in SUFFIXES
            if is_broken_link(link) and not is_image and folder_says(link.name).role == "LR":
                raise InputError(f"{_broken(link)}; ", MAKE_LR, " makes LR from HR")
    found = images_below(root)
    lr_files = [] if make_lr else [file for file in found if file.role == "LR"]
    if lr_dir is not None:
        lr_files = images_below(lr_dir)
        lr_files = [file for file in lr_files if file.role == "LR"] or lr_files
    hr_sets = _hr_sets(root, found, scale, any_scale=make_lr or lr_dir is not None)
    groups = {hr[0].group for hr in hr_sets}
    options = []
    for hr in hr_sets:
        own = hr[0].group
        # LR folders whose words are those of no HR folder may belong to any.
        near = [f for f in lr_files if lr_dir or f.group == own or f.group not in groups]
        options.append(_option(hr, near, scale))
    chosen = _choose(root, options, scale)
    if make_lr:
        return Layout(_pairs(chosen.hr), chosen.folder, None)
    if lr_dir is not None and not chosen.matches:
        raise InputError(f"{lr_dir}: no LR images of those in {chosen.folder} at scale {scale}")
    unused = [*chosen.matches, *([] if lr_dir else chosen.idle)]
    if len(unused) > 1 or not set(unused) <= set(chosen.matches):
        raise _unused(root, chosen, unused)
    if not chosen.matches and any(file.path.parent == chosen.folder for file in lr_files):
        raise InputError(
            f"{chosen.folder}: only LR images for scale {_listed(chosen.other_scales)}, expected "
            f"scale {scale}; with ",
            MAKE_LR,
            " LR is made from HR",
        )
    if not chosen.matches:
        return Layout(_pairs(chosen.hr), chosen.folder, None, chosen.other_scales)
    ((lr_folder, matched),) = chosen.matches.items()
    return Layout(_pairs(chosen.hr, lr_folder, matched), chosen.folder, lr_folder)


def _hr_sets(
    root: Path, found: Sequence[ImageFile], scale: int, *, any_scale: bool
) -> list[tuple[ImageFile, ...]]:
    """Return the HR images, a tuple for each folder, without those of other scales."""
    flat = [file for file in found if file.role is None and file.path.parent == root]
    hr = [file for file in found if file.role == "HR"]
    # Beside images that lie flat, HR folders count only if they are of the folder given itself.
    near = [f for f in hr if len(f.path.relative_to(root).parts) <= 2 or not f.group]
    hr = (near if flat else hr) or flat
    if not hr:
        raise InputError(_nothing_found(root, found))
    fitting = [file for file in hr if file.scale in (None, scale)]
    if not fitting and not any_scale:
        scales = sorted({file.scale for file in hr if file.scale is not None})
        raise InputError(
            f"{root}: only HR images for scale {_listed(scales)}, expected scale {scale}; with ",
            MAKE_LR,
            " LR is made from them anyway",
        )
    return [tuple(files) for _, files in groupby(fitting or hr, lambda file: file.path.parent)]


def _option(hr: tuple[ImageFile, ...], near: Sequence[ImageFile], scale: int) -> _Option:
    folders = [(path, list(files)) for path, files in groupby(near, lambda f: f.path.parent)]
    matches = {path: found for path, files in folders if (found := _match(hr, files, scale))}
    rest = [file for file in near if file.group == hr[0].group and file.path.parent not in matches]
    stated = [file.scale or file.names[-1].scale for file in rest]
    idle = [file.path.parent for file, s in zip(rest, stated, strict=True) if s in (None, scale)]
    others = {s for s in stated if s is not None} - {scale}
    return _Option(hr, matches, list(dict.fromkeys(idle)), tuple(sorted(others)))


def _match(
    hr: Iterable[ImageFile], lr: Sequence[ImageFile], scale: int
) -> dict[ImageFile, list[ImageFile]]:
    """Return, for each HR image, the LR images with the same name after removing the fewest marks.

    An HR image does not get an LR image that is closer to another one.
    """
    by_core: dict[str, list[tuple[int, ImageFile]]] = {}
    for file in lr:
        for marks, name in enumerate(file.names):
            if (name.scale or file.scale) in (None, scale):
                by_core.setdefault(name.core, []).append((marks, file))
    costs = [
        (marks + hr_marks, hr_file, lr_file)
        for hr_file in hr
        for hr_marks, name in enumerate(hr_file.names)
        for marks, lr_file in by_core.get(name.core, [])
    ]
    least: dict[ImageFile, int] = {}
    for cost, *pair in costs:
        for file in pair:
            least[file] = min(cost, least.get(file, cost))
    found: dict[ImageFile, list[ImageFile]] = {}
    for cost, hr_file, lr_file in costs:
        if cost == least[hr_file] == least[lr_file] and lr_file not in found.get(hr_file, []):
            found.setdefault(hr_file, []).append(lr_file)
    return found


def _choose(root: Path, options: list[_Option], scale: int) -> _Option:
    """Return the set that has LR images and is not for training; of equal sets, the best folder."""
    pool = [option for option in options if option.matches or option.idle] or options
    pool = [option for option in pool if not is_training(option.group)] or pool
    groups = {option.group for option in pool}
    if len(groups) > 1:
        folders = [option.folder.relative_to(root).as_posix() for option in pool]
        raise InputError(
            f"{root}: HR images of {len(groups)} sets, in {_listed(folders)}; expected those of one"
        )
    return min(pool, key=lambda option: option.rank(scale))


def set_name(hr_folder: Path) -> str:
    """Return the name of a set of images: its folder's, or that of the parent of `HR`, `x4` etc.

    Args:
        hr_folder: Folder of the HR images.

    Example:
        >>> set_name(Path("/data/Set5/HR")), set_name(Path("/data/RealSR/Test/4"))
        ('Set5', 'RealSR')
    """
    own = hr_folder.resolve()
    for folder in (own, *own.parents):
        about = folder_says(folder.name, number_is_scale=True)
        says_what_is_in_it = about.role == "HR" or (about.scale and not about.words)
        is_split = folder != own and bool(about.words) and set(about.words) <= _SPLITS
        if not says_what_is_in_it and not is_split:
            return folder.name or own.name
    return own.name


def is_training(words: Iterable[str]) -> bool:
    """Return whether the words of a folder's name mean that its images are for training.

    Example:
        >>> is_training(["div2k", "train"])
        True
    """
    return any("train" in word for word in words)


def is_split(words: Iterable[str]) -> bool:
    """Return whether the words of a folder's name state which part of a data set it holds.

    Example:
        >>> is_split(["div2k", "valid"])
        True
    """
    return not _SPLITS.isdisjoint(words)


def _pairs(
    hr: Sequence[ImageFile],
    lr_folder: Path | None = None,
    matched: dict[ImageFile, list[ImageFile]] | None = None,
) -> tuple[PairFile, ...]:
    names = [file.image_name for file in hr]
    for longer in ([file.path.stem for file in hr], [file.path.name for file in hr]):
        names = names if len(set(names)) == len(names) else longer
    pairs = []
    for name, file in zip(names, hr, strict=True):
        lr = (matched or {}).get(file, [])
        problem = None
        if lr_folder is not None and not lr:
            missing = f"{lr_folder}: no LR image for {file.path.name}; "
            problem = InputError(missing, MAKE_LR, " makes the LR images from HR")
        elif len(lr) > 1:
            several = _listed(found.path.name for found in lr)
            problem = InputError(
                f"{lr_folder}: {len(lr)} LR images for {file.path.name}: {several}, expected one"
            )
        pairs.append(PairFile(name, file.path, None if problem or not lr else lr[0].path, problem))
    return tuple(pairs)


def _nothing_found(root: Path, found: Sequence[ImageFile]) -> str:
    what = f"no images in it, expected {', '.join(SUFFIXES)}"
    if any(file.role == "LR" for file in found):
        what = "only LR images, expected HR images beside them, in a folder called HR or GT"
    inside = [path.name for path in visible_in(root) if path.is_dir()]
    endings = {path.suffix for path in visible_in(root) if path.is_file()} - {"", *SUFFIXES}
    hints = [f"its folders are {_listed(inside)}"] if inside else []
    hints += [f"its files are {_listed(sorted(endings))}"] if endings else []
    return "; ".join([f"{root}: {what}", *hints])


def _unused(root: Path, chosen: _Option, folders: list[Path]) -> InputError:
    listed = _listed(_inside(root, folder) for folder in folders)
    if len(folders) > 1:
        return InputError(
            f"{root}: LR images in {listed}, expected one of these folders; ",
            LR_DIR,
            " names one, ",
            MAKE_LR,
            " makes LR from HR",
        )
    return InputError(
        f"{root}: the LR images in {listed} match none of the HR images in "
        f"{_inside(root, chosen.folder)} by their names; ",
        LR_DIR,
        " names the folder of others, ",
        MAKE_LR,
        " makes LR from HR",
    )


def _inside(root: Path, folder: Path) -> str:
    return folder.relative_to(root).as_posix() if folder != root else root.name


def _listed(items: Iterable[object], most: int = 5) -> str:
    names = [str(item) for item in items]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
