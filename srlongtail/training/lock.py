"""One process at a time in a run's folder."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from srlongtail.errors import InputError

try:
    import fcntl
except ImportError:  # pragma: no cover  # Windows, where nobody keeps a second process away
    fcntl = None  # type: ignore[assignment]


class InUseError(InputError):
    """Another process is at work in a folder."""


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Keep other processes from a folder, which is made if need be.

    The lock ends with the process, however that ends.

    Args:
        folder: Where the lock file lies.
        wait: Wait for the process that is at work there, instead of raising an error.

    Raises:
        InUseError: Another process is at work there.
        InputError: The folder cannot be made.

    Example:
        >>> import tempfile
        >>> with locked(Path(tempfile.mkdtemp()) / "run"):
        ...     pass
    """
    if fcntl is None:
        yield
        return
    path = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            file.seek(0)
            raise InUseError(
                f"{folder}: process {file.read() or 'unknown'} trains there, expected a folder "
                f"that no other process uses"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
