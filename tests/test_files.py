"""Files appear whole or not at all."""

import os
import stat

import pytest
import torch

from srlongtail.errors import InputError
from srlongtail.files import replacing
from srlongtail.models.state import write_state


def write_and_fail(path):
    with replacing(path) as temporary:
        temporary.write_text("half of the new")
        _ = 1 / 0


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_and_fail(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_success_replaces_and_keeps_usual_permissions(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with replacing(path) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    write_state(tmp_path / "a.safetensors", {"a": torch.ones(1)}, {})
    mask = os.umask(0)
    os.umask(mask)
    for written in (path, tmp_path / "a.safetensors"):
        assert stat.S_IMODE(written.stat().st_mode) == 0o666 & ~mask


def test_the_umask_of_the_process_is_left_alone(tmp_path, monkeypatch):
    """While it is read, it is 0 for all threads; two that read it at once could leave it so."""
    monkeypatch.setattr("os.umask", None)
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match="is a folder, expected the name of a file"):
        write_and_fail(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written: (File exists|Not a directory)"):
        write_and_fail(tmp_path / "file" / "a.txt")
