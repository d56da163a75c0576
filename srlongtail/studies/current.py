"""Find the files of earlier runs that need not be written again, without importing torch.

As `make` would, but by contents: files are current if all that they depend on is as it was when
they were written, and they are as they were written.
"""

import contextlib
import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import srlongtail
from srlongtail.files import write_bytes
from srlongtail.plots import style

FOLDER = ".saved"  # what runs keep for later ones, inside an output folder

_PACKAGE = Path(srlongtail.__file__).parent


@dataclass(frozen=True)
class Written:
    """Files that earlier runs wrote to a folder, and what they depended on.

    Args:
        out: The folder.
        depends_on: Hash of all that the files of this run depend on; see `dependencies_sha256`.

    Example:
        >>> import tempfile
        >>> written = Written(Path(tempfile.mkdtemp()), "hash")
        >>> written.keep("a", {"a.txt": b"1"})  # before it is written
        >>> written.is_current("a")
        False
        >>> _ = write_bytes(written.out / "a.txt", b"1")
        >>> written.is_current("a")
        True
    """

    out: Path
    depends_on: str

    def is_current(self, name: str) -> bool:
        """Return whether the files of a result are what this run would write.

        Args:
            name: Name of the result.
        """
        # A damaged or missing file can raise anything: what cannot be read is written again.
        with contextlib.suppress(Exception):
            record = json.loads(self._path(name).read_bytes())
            files = record["files"]
            unchanged = (_sha256((self.out / file).read_bytes()) == files[file] for file in files)
            return bool(files) and record["depends_on"] == self.depends_on and all(unchanged)
        return False

    def keep(self, name: str, contents: Mapping[str, bytes]) -> None:
        """Remember the files of a result.

        Args:
            name: Name of the result.
            contents: Name of a file -> its contents.
        """
        files = {file: _sha256(content) for file, content in contents.items()}
        record = {"depends_on": self.depends_on, "files": files}
        write_bytes(self._path(name), json.dumps(record).encode())

    def _path(self, name: str) -> Path:
        return self.out / FOLDER / f"{name}.json"


def dependencies_sha256(command: Sequence[str], inputs: Iterable[Path]) -> str:
    """Return a hash of all that the files of a command depend on.

    These are the words of the command, which records hold; the contents of its input files; all
    files of this package, including the networks that ship; the versions of Python and of all
    installed packages, including the built-in photos; fonts, and matplotlib's settings. The number
    of threads and the device are not among them, as for saved results: they change last digits.

    Args:
        command: The words of the command.
        inputs: Its input files; one that does not exist is a dependency, too.
    """
    read = {str(path.resolve()): _of_file(path) for path in inputs}
    package = {
        str(path.relative_to(_PACKAGE)): _of_file(path)
        for path in sorted(_PACKAGE.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    python = (platform.python_version(), platform.system(), platform.machine())
    fonts = {file: _of_file(Path(file)) for file in style.font_files()}
    facts = [list(command), read, package, python, _installed(), style.settings(), fonts]
    return _sha256(json.dumps(facts).encode())


def _installed() -> list[str]:
    """Return names and versions of the installed packages, by the folders that describe them."""
    folders = [folder for folder in sys.path if os.path.isdir(folder)]
    names = (name for folder in folders for name in os.listdir(folder))
    return sorted({name for name in names if name.endswith((".dist-info", ".egg-info"))})


def _of_file(path: Path) -> str | None:
    return _sha256(path.read_bytes()) if path.is_file() else None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
