"""Identify files by their content: checkpoints that can be read, and others with a way out.

Nothing here runs code from a file: pickles are taken apart opcode by opcode, never executed.
"""

import io
import itertools
import pickletools
import re
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from PIL import Image

from srlongtail.errors import InputError, with_article

FileKind = Literal["safetensors", "pytorch"]

_HEAD = 1024  # bytes that suffice to identify a file
_OLD_LAYOUT = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # torch.save's magic number, pickled
_UNPACKED = 10  # times its size that a file may unpack to; torch.save does not even compress
_ASK_FOR_WEIGHTS = "expected a checkpoint of weights (.pth, .pt, .ckpt or .safetensors)"

# (offset, first bytes, what such a file is)
_MAGIC = (
    (0, b"\x1f\x8b", "a gzip archive: unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it"),
    (0, b"Rar!", "a RAR archive: unpack it"),
    (0, b"\xfd7zXZ\0", "an xz archive: unpack it"),
    (0, b"BZh", "a bzip2 archive: unpack it"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive: unpack it"),
    (0, b"\x89HDF\r\n", "an HDF5 file (Keras or MATLAB)"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"MATLAB 5.0", "a MATLAB file"),
    (0, b"GGUF", "a GGUF file"),
    (4, b"TFL3", "a TensorFlow Lite program"),
    (0, b"%PDF", "a PDF document"),
    (4, b"ftyp", "a video or an image in a container (MP4, MOV, HEIF)"),
    (8, b"AVI ", "an AVI video"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (0, b"\x7fELF", "a program or library for Linux"),
    (0, b"SQLite format 3", "an SQLite database"),
)
# Formats of images that Pillow identifies by their first bytes; TGA, for one, has no such bytes.
_IMAGES = (
    *("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "JPEG2000", "AVIF", "PSD", "ICO", "DDS", "PPM"),
)

# Where the weights lie in a training checkpoint, the most wanted first.
_WEIGHT_KEYS = (
    *("params_ema", "ema_state_dict", "model_ema", "state_dict_ema", "ema"),
    *("params", "state_dict", "model_state_dict", "model"),
    *("generator", "netG", "net_g", "G", "net", "network", "weights"),
)


def kind_of_file(path: Path) -> FileKind:
    """Return whether a file is a safetensors or a PyTorch checkpoint, whatever its suffix.

    Raises:
        InputError: It is something else; the message says what it is and what to do.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise InputError(f"{path}: empty (0 bytes), {_ASK_FOR_WEIGHTS}")
    if head.startswith(b"version https://git-lfs"):
        raise InputError(
            f"{path}: a Git LFS pointer and not the file itself, which 'git lfs pull' fetches"
        )
    if re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|\?xml|head)", head, re.IGNORECASE):
        raise InputError(
            f"{path}: a web page and not the file itself: the download needs a login, a "
            f"confirmation, or the link of the raw file"
        )
    if 2 <= int.from_bytes(head[:8], "little") <= size - 8 and head[8:9] == b"{":
        return "safetensors"
    if head.startswith(b"PK"):
        _check_zip(path)
        return "pytorch"
    if head[257:262] == b"ustar":
        raise InputError(f"{path}: a tar archive{_listing(_tar_names(path))}: unpack it")
    image = _image_format(path)
    if image is not None:
        raise InputError(f"{path}: {with_article(image)} image, {_ASK_FOR_WEIGHTS}")
    for offset, magic, what in _MAGIC:
        if head[offset:].startswith(magic):
            raise InputError(f"{path}: {what}, {_ASK_FOR_WEIGHTS}")
    if _is_onnx(head):
        raise InputError(
            f"{path}: an ONNX program, which is never run; save its weights alone with: "
            f'python -c "import onnx, torch; torch.save({{t.name: '
            f"torch.tensor(onnx.numpy_helper.to_array(t)) for t in "
            f"onnx.load('{_in_code(path)}').graph.initializer}}, 'weights.pth')\""
        )
    if head.startswith(b"\x80"):
        if _OLD_LAYOUT in head[:32]:  # what torch.save wrote before version 1.6
            return "pytorch"
        raise InputError(f"{path}: a pickle that torch.save did not write, {_ASK_FOR_WEIGHTS}")
    text = head.decode("utf-8", errors="ignore")
    if text.isprintable() or all(c.isprintable() or c.isspace() for c in text):
        raise InputError(f"{path}: a text file ({text[:30].strip()!r}, ...), {_ASK_FOR_WEIGHTS}")
    raise InputError(f"{path}: damaged, or no PyTorch checkpoint, {_ASK_FOR_WEIGHTS}")


def refused_pickle(path: Path, error: Exception) -> InputError:
    """Explain why a PyTorch file could not be read as tensors alone.

    Args:
        path: The file.
        error: What `torch.load(path, weights_only=True)` raised.

    Returns:
        The error to raise; for a file that holds more than tensors, its message has the name of
        the class in the file, and a line of Python that saves only the weights.
    """
    found = re.search(r"(?:GLOBAL |but got <class ')([\w.]+)", str(error))
    if found is None and "Unsupported operand" not in str(error):
        return InputError(f"{path}: damaged, or no PyTorch checkpoint, {_ASK_FOR_WEIGHTS}")
    holds = f"a pickled {found[1]}" if found else "a pickle of a newer protocol"
    return InputError(
        f"{path}: holds {holds} besides tensors, which could run code and is not loaded; if you "
        f'trust the file, save its weights alone with: python -c "import torch; c = torch.load('
        f"'{_in_code(path)}', map_location='cpu', weights_only=False); "
        f"torch.save({_weights_of(path)}, 'weights.pth')\""
    )


def _in_code(path: Path) -> str:
    """Return a path for a line of Python inside quotes of a shell, which people copy and run.

    The name of a stranger's file may be written to run as code there.
    """
    return str(path) if re.fullmatch(r"[\w./: +,=@~-]+", str(path)) else "FILE"


def _check_zip(path: Path) -> None:
    """Raise an error if a ZIP file was not written by torch.save."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except Exception as error:  # zipfile raises anything on a damaged archive
        raise InputError(
            f"{path}: damaged: it begins as a PyTorch checkpoint and ends too early "
            f"(was the download interrupted?)"
        ) from error
    size = path.stat().st_size
    if unpacked > _UNPACKED * size:
        raise InputError(f"{path}: {size} bytes that unpack to {unpacked}, {_ASK_FOR_WEIGHTS}")
    inner = {name.partition("/")[2] or name for name in names}
    if "constants.pkl" in inner and any(name.startswith("code/") for name in inner):
        raise InputError(
            f"{path}: a TorchScript program, which is never run; save its weights alone with: "
            f"python -c \"import torch; torch.save(torch.jit.load('{_in_code(path)}', "
            f"map_location='cpu').state_dict(), 'weights.pth')\""
        )
    if {"archive_format", "serialized_exported_program.json"} & inner:
        raise InputError(
            f"{path}: a program of torch.export, which is never run; save its weights alone with: "
            f"python -c \"import torch; torch.save(torch.export.load('{_in_code(path)}')"
            f".state_dict, 'weights.pth')\""
        )
    if "data.pkl" in inner:
        return
    if names and all(name.endswith(".npy") for name in names):
        raise InputError(
            f'{path}: NumPy arrays; save them as tensors with: python -c "import numpy, torch; '
            f"torch.save({{k: torch.tensor(v) for k, v in "
            f"numpy.load('{_in_code(path)}').items()}}, 'weights.pth')\""
        )
    raise InputError(f"{path}: a ZIP archive{_listing(names)}: unpack it")


def _tar_names(path: Path) -> list[str]:
    try:
        with tarfile.open(path, "r:") as archive:  # not unpacked, should it be compressed, too
            return [entry.name for entry in itertools.islice(archive, 4)]
    except Exception:  # tarfile raises anything on a damaged archive
        return []


def _listing(names: list[str]) -> str:
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f" of {shown}" if names else ""


def _image_format(path: Path) -> str | None:
    """Return the format of an image file, such as "GIF"; None if it is not an image."""
    try:
        with Image.open(path, formats=_IMAGES) as image:
            return image.format
    except Exception:  # Pillow raises anything on a damaged file
        return None


def _is_onnx(head: bytes) -> bool:
    """Return whether a protobuf begins like ONNX's ModelProto: its version, then another field."""
    fields_of_a_model = (0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42)
    return len(head) > 2 and head[0] == 0x08 and head[1] < 64 and head[2] in fields_of_a_model


def _weights_of(path: Path) -> str:
    """Return the Python expression for the weights in `c`, the content of a PyTorch file."""
    try:
        operations = list(_operations(path))
    except Exception:  # pickletools raises anything on a damaged pickle
        operations = []
    if not operations:
        return "c"
    if not _makes_dict(operations[0]):
        return "c.state_dict()"
    values = {
        argument: operations[index + 1 : index + 3]
        for index, (_, argument) in enumerate(operations[:-2])
        if argument in _WEIGHT_KEYS
    }
    for key in _WEIGHT_KEYS:
        if key not in values:
            continue
        first, second = values[key]
        if _makes_dict(first):
            return f"c['{key}']"
        # The old layout marks a module's class with its source.
        if first[0] == "GLOBAL" or (first[0], second[1]) == ("MARK", "module"):
            return f"c['{key}'].state_dict()"
    return "{k: v for k, v in c.items() if torch.is_tensor(v)}"


def _makes_dict(operation: tuple[str, object]) -> bool:
    return operation[0] == "EMPTY_DICT" or operation == ("GLOBAL", "collections OrderedDict")


def _operations(path: Path) -> Iterator[tuple[str, object]]:
    """Yield the pickle's opcodes and their arguments, except for bookkeeping."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
            stream = io.BytesIO(archive.read(name))
    else:
        stream = io.BytesIO(path.read_bytes())
        for _ in range(3):  # torch.save's old layout: a magic number, a version, the platform
            for _ in pickletools.genops(stream):
                pass
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name not in ("PROTO", "FRAME", "MEMOIZE") and "PUT" not in opcode.name:
            yield opcode.name, argument
