"""Full disks, killed and vanished processes leave whole files, or none, and one line is printed."""

import errno
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from srlongtail.errors import InputError
from srlongtail.files import replacing
from srlongtail.image.io import write_image
from srlongtail.models.state import write_state


@pytest.fixture
def full_disk():
    """The system refuses to write files of more than 4 kB, as it refuses all on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write_torch(path: Path) -> None:
    with replacing(path) as temporary:
        torch.save({"a": torch.rand(10_000)}, temporary)


def write_table(path: Path) -> None:
    with replacing(path) as temporary:
        pd.DataFrame(np.zeros((10_000, 2))).to_csv(temporary)


WRITERS = {
    "a.png": lambda path: write_image(path, torch.rand(3, 100, 100)),
    "b.png": lambda path: write_image(path, torch.rand(3, 100, 100), bits=16),
    "a.tif": lambda path: write_image(path, torch.rand(3, 100, 100), bits=16),
    "a.jpg": lambda path: write_image(path, torch.rand(3, 200, 200)),
    "a.safetensors": lambda path: write_state(path, {"a": torch.rand(10_000)}, {}),
    "a.pt": write_torch,
    "a.csv": write_table,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_line_and_the_old_file_stays(tmp_path, full_disk, name):
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(InputError, match=rf"{name}: cannot be written: .+") as caught:
        WRITERS[name](tmp_path / name)
    assert str(caught.value).isprintable()
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"old"


KILLED = """
import os, random, signal, sys, time, warnings
from pathlib import Path
import torch
from srlongtail.models.state import read_state, write_state

torch.set_num_threads(1)
warnings.simplefilter("ignore")  # of forking beside threads, of which torch has one here
path, rng = Path(sys.argv[1]), random.Random(0)
write_state(path, {"a": torch.full((300_000,), 0.0)}, {"n": 0})
torn = 0
for _ in range(int(sys.argv[2])):
    child = os.fork()
    while child == 0:
        n = rng.randrange(1000)
        write_state(path, {"a": torch.full((300_000,), float(n))}, {"n": n})
    time.sleep(rng.uniform(0.002, 0.06))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    tensors, header = read_state(path)
    torn += not bool((tensors["a"] == header["n"]).all())
print(torn)
"""


@pytest.mark.parametrize("kills", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_kill_9_while_a_file_is_replaced(tmp_path, kills):
    """In a process of its own, whose children are killed while they write one file repeatedly."""
    command = [sys.executable, "-c", KILLED, tmp_path / "a.safetensors", str(kills)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0"]


def test_an_output_folder_that_vanishes(tmp_path):
    def write() -> None:
        with replacing(tmp_path / "gone" / "a.txt") as temporary:
            temporary.write_text("text")
            shutil.rmtree(tmp_path / "gone")

    with pytest.raises(InputError, match=r"gone/a\.txt: cannot be written: No such file"):
        write()


def test_a_read_only_output_is_one_line(tmp_path, monkeypatch):
    """The superuser may write everywhere, so the answer of the system is played."""

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(InputError, match=r"a\.png: cannot be written: Read-only file system"):
        write_image(tmp_path / "a.png", torch.rand(3, 8, 8))
