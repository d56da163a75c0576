"""Write files atomically, so that an incomplete file is never visible."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from srlongtail.errors import InputError


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path next to `path`, and rename it to `path` if the block succeeds.

    The temporary file has the suffix of `path`, so that libraries choose the right format. If the
    block fails, an existing file at `path` stays unchanged.

    Args:
        path: The file to write; its folder is created if needed.

    Raises:
        InputError: The folder cannot be created or written to, it is full, or `path` is a folder.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "new" / "a.txt"
        >>> with replacing(target) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected the name of a file to write")
    # Not by the module tempfile: its files are readable only by their owner, and to make them like
    # others, the process's umask would have to be read, which means to change it for all threads.
    temporary = path.with_name(f".{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        usual = temporary.stat().st_mode
        yield temporary
        temporary.chmod(usual)  # safetensors makes files readable only by their owner
        temporary.replace(path)
    except Exception as error:
        reason = _why_not_written(error)
        if reason is None:
            raise
        raise InputError(f"{path}: cannot be written: {reason}") from error
    finally:
        with contextlib.suppress(OSError):  # it is gone after success, or could not be made
            temporary.unlink()


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a whole file; see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def _why_not_written(error: BaseException) -> str | None:
    """Return what is said if an error means that a file cannot be written, or not all of it.

    Libraries with a writer of their own, such as torch and safetensors, say it in words alone.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if "PytorchStreamWriter" in str(error) or "unexpected pos" in str(error):
        return "the disk is full, or the folder is gone"
    said = (os.strerror(number) for number in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO))
    return next((words for words in said if words.lower() in str(error).lower()), None)
