"""Find the training images below a folder, and describe them without saying where they lie."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srlongtail.errors import InputError
from srlongtail.image.io import SUFFIXES

_HR_FOLDER = re.compile(r"(.*_)?HR|GTmod12")
_LR_FILE = re.compile(r".*_SRF_\d_LR")


@dataclass(frozen=True)
class TrainingImage:
    """An HR image file, and the name (with its folders) that it goes by in a run's provenance."""

    name: str
    path: Path


def find_images(locations: Iterable[str | os.PathLike[str]]) -> list[TrainingImage]:
    """All HR images below the folders given, sorted by name.

    Folders are searched to any depth. Where one holds HR folders (`HR`, `*_HR`, `GTmod12`), only
    these count, so that the LR images beside them are not taken for HR; and of several, those with
    "train" in their name, so that DIV2K's validation images are not trained on.

    Raises:
        InputError: no such folder, or no image below it.
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
        raise InputError("no training images, expected --data DIR")
    return sorted(images, key=lambda image: image.name)


def describe(images: Iterable[TrainingImage]) -> dict[str, Any]:
    """What a run says about its data: the number of images in each folder, and a hash of all names.

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


def _hr_files(folder: Path) -> list[Path]:
    children = sorted(folder.iterdir())
    subfolders = [child for child in children if child.is_dir()]
    hr_folders = [child for child in subfolders if _HR_FOLDER.fullmatch(child.name)]
    if hr_folders:
        training = [child for child in hr_folders if "train" in child.name.lower()]
        return [file for child in training or hr_folders for file in _hr_files(child)]
    files = [
        child
        for child in children
        if child.suffix.lower() in SUFFIXES and child.is_file() and not _LR_FILE.match(child.stem)
    ]
    return files + [file for child in subfolders for file in _hr_files(child)]
