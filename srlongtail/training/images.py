"""Find the training images below a folder, and describe them without saying where they lie."""

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from srlongtail.errors import InputError, Parameter
from srlongtail.image.io import SUFFIXES
from srlongtail.image.layouts import (
    ImageFile,
    folder_says,
    images_below,
    is_split,
    is_training,
    visible_in,
)
from srlongtail.models.find import ZOO

HELD_OUT = ZOO / "held-out.txt"

_ANY_DEPTH = 100


@dataclass(frozen=True)
class TrainingImage:
    """An HR image file, and the name (with its folders) that it goes by in a run's provenance."""

    name: str
    path: Path


def find_images(locations: Iterable[str | os.PathLike[str]]) -> list[TrainingImage]:
    """Return all HR images below some folders, sorted by name.

    Folders are searched to any depth, hidden files left out. LR images never count as HR: names
    tell them apart (see `srlongtail.image.layouts`). Where a folder holds HR folders, only these
    count; and of several folders that say so, those for training, so that DIV2K's validation images
    are not trained on. Images in a folder named like one of LR images, to which there is no HR, are
    used with a warning.

    Raises:
        InputError: No such folder, or no image below it.
    """
    images = []
    for location in locations:
        root = Path(location)
        if not root.is_dir():
            raise InputError(f"{root}: no such folder, expected one of training images")
        found = [
            TrainingImage(f"{root.resolve().name}/{path.relative_to(root).as_posix()}", path)
            for path in _hr_files(root)
        ]
        if not found:
            raise InputError(f"{root}: no images below it, expected {', '.join(SUFFIXES)}")
        images += found
    if not images:
        raise InputError("no training images, expected a folder of them as ", Parameter("data"))
    return sorted(images, key=lambda image: image.name)


def held_out(images: Iterable[TrainingImage]) -> list[TrainingImage]:
    """Return those of the images that are on the list of images to compare losses on.

    `HELD_OUT` lists 50 images of the data sets that the shipped networks were trained on, drawn at
    random from those with at least 192 pixels a side. An image is known by the names of its folder
    and its file.
    """
    names = set(HELD_OUT.read_text(encoding="utf-8").split())
    return [image for image in images if "/".join(image.name.split("/")[-2:]) in names]


def choose_images(
    images: Sequence[TrainingImage], half: int = 0, count: int = 0, hold_out: bool = False
) -> list[TrainingImage]:
    """Return the images that a recipe trains on, of all that were found, sorted by name.

    All, less those held out, are shuffled, always in the same way. The first half of them, the
    smaller one where their number is odd, is half 1, the rest is half 2; of these the first
    `count` are taken.

    Args:
        images: Sorted by name, as `find_images` returns them.
        half: 1 or 2; 0 for all.
        count: How many; 0 for all.
        hold_out: Leave out the images that `held_out` returns.

    Raises:
        InputError: There are fewer images than wanted.

    Example:
        >>> images = [TrainingImage(name, Path(name)) for name in "abcdef"]
        >>> [[image.name for image in choose_images(images, half)] for half in (1, 2)]
        [['c', 'd', 'f'], ['a', 'b', 'e']]
    """
    if hold_out:
        out = set(held_out(images))
        images = [image for image in images if image not in out]
    order = np.random.default_rng(0).permutation(len(images))
    middle = len(images) // 2
    order = {0: order, 1: order[:middle], 2: order[middle:]}[half]
    if count > len(order) or not len(order):
        raise InputError(
            f"{len(images)} training images, of which {len(order)} are in half {half}, expected "
            f"at least {max(count, 1)} there"
        )
    return [images[index] for index in sorted(order[: count or None])]


def describe(images: Iterable[TrainingImage]) -> dict[str, Any]:
    """Return what a run says about its data: images in each folder, and a hash of all names.

    Example:
        >>> describe([TrainingImage("train/General100/im_1.png", Path("im_1.png"))])["folders"]
        {'General100': 1}
    """
    names = sorted(image.name for image in images)
    folders = Counter(name.split("/")[-2] for name in names)
    return {
        "folders": dict(sorted(folders.items())),
        "images": len(names),
        "names_sha256": hashlib.sha256("\n".join(names).encode()).hexdigest(),
    }


def _hr_files(root: Path) -> list[Path]:
    """Return the images below a folder that count as HR."""
    searched = set(_searched(root))
    files = [file for file in images_below(root, _ANY_DEPTH) if file.path.parent in searched]
    marked = {file.path.parent for file in files if file.role == "HR"}
    hr = [
        file
        for file in files
        if file.role == "HR" or (file.role is None and file.path.parent not in marked)
    ]
    alone = _lr_without_hr([file for file in files if file.role == "LR"], hr)
    for folder in sorted({path.parent for path in alone}):
        warnings.warn(
            f"{folder}: named like LR images, but there are no HR images to them; used as HR",
            stacklevel=4,
        )
    return [file.path for file in hr] + alone


def _searched(folder: Path) -> Iterator[Path]:
    """Return the folders whose images may count: HR folders if there are any, none for tests."""
    children = [child for child in visible_in(folder) if child.is_dir()]
    says = {child: folder_says(child.name) for child in children}
    hr = [child for child in children if says[child].role == "HR"]
    among = hr or children
    if any(is_training(says[child].words) for child in among):
        among = [
            child
            for child in among
            if is_training(says[child].words) or not is_split(says[child].words)
        ]
    if not hr:
        yield folder
    for child in among:
        yield from _searched(child)


def _lr_without_hr(lr: Sequence[ImageFile], hr: Sequence[ImageFile]) -> list[Path]:
    """Images in LR folders that belong to no HR image: to none of their set, nor most by name."""
    groups = {file.group for file in hr}
    cores = {name.core for file in hr for name in file.names}
    found: list[Path] = []
    for _, several in groupby(lr, lambda file: file.path.parent):
        files = list(several)
        paired = [file for file in files if any(name.core in cores for name in file.names)]
        marked = any(file.names[-1].role == "LR" for file in files)
        if not marked and files[0].group not in groups and 2 * len(paired) < len(files):
            found += [file.path for file in files]
    return found
