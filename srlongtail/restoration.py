"""SR images as files: those of an evaluation, and those of LR images without HR."""

import os
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from srlongtail.errors import InputError, Parameter
from srlongtail.image.dataset import ImageSet
from srlongtail.image.io import check_image, depth_note, read_checked, write_image
from srlongtail.image.layouts import images_below
from srlongtail.image.tiles import Pieces, Tiling
from srlongtail.models.sr_images import AnyModel, SRImages
from srlongtail.models.sr_model import SRModel
from srlongtail.parallel import gather, is_writer, share


class RestoredFiles(NamedTuple):
    """Result of `restore_files`.

    Attributes:
        written: SR files, in the order of the images.
        failed: LR file, or what was named instead of one -> why it could not be restored.
    """

    written: list[Path]
    failed: dict[Path, InputError]


def restore_files(
    model: SRModel,
    images: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str] = ".",
    *,
    tile: Tiling | Pieces | None = None,
    white: float | None = None,
) -> RestoredFiles:
    """Restore LR images, and write `NAME_x4.png` (x2, ...) for each to a folder.

    The output is RGB PNG with 8 bits per channel, whatever the input's depth; gray becomes RGB, and
    transparency is laid over white, with a warning. Every file is checked before the first one is
    restored. Images that cannot be restored are named in warnings; the others are restored anyway.
    No input file is ever overwritten.

    One image is held at a time. Under `torchrun` (inside `process_group`), the processes share the
    images, and each gets the whole result.

    Args:
        model: The network.
        images: LR image files, and folders of them, without subfolders.
        out: Folder to write to; it is created if necessary.
        tile: Restore in these tiles or pieces; see `SRModel.restore`.
        white: Value that is white in files with more than 8 bits per channel; see `read_image`.

    Returns:
        The files that were written, and the images that could not be restored.

    Raises:
        InputError: Two SR images would have the same name, an SR image would replace an input, or
            the folder cannot be written to.

    Example:
        >>> import tempfile, torch
        >>> from srlongtail.models.sr_model import bicubic
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_image(folder / "gray.png", torch.full((3, 8, 8), 0.5))
        >>> [path.name for path in restore_files(bicubic(4), [folder], folder).written]
        ['gray_x4.png']
    """
    files, failed = _image_files(images)
    targets = _targets(files, Path(out), model.scale)
    facts = []
    for path in files:
        try:
            facts.append(check_image(path, white))
        except InputError as error:
            failed[path] = error
    note = depth_note(facts, white)
    for warning in [*(error.as_warning() for error in failed.values()), *([note] if note else [])]:
        warnings.warn(warning, stacklevel=2)

    refused: dict[Path, InputError] = {}
    good = [path for path in files if path not in failed]
    for path in tqdm(list(share(good)), disable=None if is_writer() else True, unit="image"):
        try:
            sr = model.restore(read_checked(path, white), tile)
        except InputError as error:
            refused[path] = error if str(path) in str(error) else error.about(str(path))
        else:
            write_image(targets[path], sr)
    for of_process in gather(refused):
        failed |= of_process
        for reason in of_process.values():
            warnings.warn(reason.as_warning(), stacklevel=2)
    return RestoredFiles([targets[path] for path in files if path not in failed], failed)


def save_paths(
    models: Iterable[AnyModel], datasets: Iterable[ImageSet], folder: str | os.PathLike[str]
) -> dict[tuple[str, str, str], Path]:
    """Return the files for the SR images of models on data sets.

    These are `FOLDER/MODEL/IMAGE.png`, or `FOLDER/DATASET/MODEL/IMAGE.png` for several data sets.
    A slash in a name becomes an underscore.

    Args:
        models: The models.
        datasets: The data sets.
        folder: Folder to write to.

    Returns:
        (model, data set, image), all by name -> file.

    Raises:
        InputError: Two SR images would have the same name, or would be written to a folder that
            images are read from.

    Example:
        >>> from srlongtail.image.dataset import photos
        >>> from srlongtail.models.sr_model import bicubic
        >>> paths = save_paths([bicubic(4)], [photos(4)[:1]], "results")
        >>> str(paths["bicubic", "photos", "astronaut"])
        'results/bicubic/astronaut.png'
    """
    models, datasets = list(dict.fromkeys(models)), list(dict.fromkeys(datasets))
    read = {path.parent.resolve() for data in datasets for path in data.files}
    for model in models:
        if isinstance(model, SRImages):
            read |= {file.path.parent.resolve() for file in images_below(model.folder, depth=1)}
    paths: dict[tuple[str, str, str], Path] = {}
    taken: dict[str, str] = {}
    for data in datasets:
        for model in models:
            parts = [data.name, model.name] if len(datasets) > 1 else [model.name]
            to = Path(folder).joinpath(*(re.sub(r"[/\\]", "_", part) for part in parts))
            if to.resolve() in read:
                raise InputError(
                    f"{to}: SR images of {model.name} would be written among images that are read, "
                    f"expected another folder"
                )
            for image in data.names:
                path = to / f"{image}.png"
                label = f"{data.name}/{image} by {model.name}"
                other = taken.setdefault(str(path).casefold(), label)
                if other is not label:
                    raise InputError(
                        f"{path}: would be the SR image of {other} and of {label}, expected "
                        f"different names"
                    )
                paths[model.name, data.name, image] = path
    return paths


def _image_files(
    images: Iterable[str | os.PathLike[str]],
) -> tuple[list[Path], dict[Path, InputError]]:
    """Return the named files, without repetition, and an error for each name without images."""
    files: dict[Path, Path] = {}  # resolved path -> path as named
    failed: dict[Path, InputError] = {}
    for path in map(Path, images):
        inside = [file.path for file in images_below(path, depth=0)] if path.is_dir() else [path]
        if not inside:
            failed[path] = InputError(f"{path}: no images in this folder, expected LR images")
        for file in inside:
            files.setdefault(file.resolve(), file)
    return list(files.values()), failed


def _targets(files: Iterable[Path], out: Path, scale: int) -> dict[Path, Path]:
    """Return the file for the SR image of each LR file."""
    targets = {path: out / f"{path.stem}_x{scale}.png" for path in files}
    inputs = {path.resolve(): path for path in targets}
    taken: dict[str, Path] = {}
    for path, target in targets.items():
        if target.resolve() in inputs:
            raise InputError(
                f"{inputs[target.resolve()]}: an input that the SR image of {path} would replace; "
                f"expected another folder to write to, such as ",
                Parameter("out", "DIR"),
            )
        other = taken.setdefault(target.name.casefold(), path)
        if other is not path:
            raise InputError(
                f"{other} and {path}: both SR images would be called {target.name}, expected "
                f"images of different names"
            )
    return targets
