"""The wheel and the source distribution: what is in them, and that the wheel runs alone."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of a wheel and a source distribution, the wheel made from the latter."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    return folder


def in_package(*endings: str) -> set[str]:
    """The files of the package in the checkout that are no code."""
    files = (ROOT / "srlongtail").rglob("*")
    return {file.relative_to(ROOT).as_posix() for file in files if file.name.endswith(endings)}


def test_twine_finds_nothing(built):
    pytest.importorskip("twine")
    check = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built.iterdir())]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_wheel_has_the_data_that_the_code_reads(built):
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    data = in_package(".safetensors", ".csv", ".json", ".txt", ".js", ".css", ".html", "py.typed")
    ours = {name for name in data if "/zoo/" not in name or "fsrcnn" in name}
    assert "srlongtail/zoo/fsrcnn-fpl-x4.safetensors" in ours
    assert ours - names == set()
    assert not [name for name in names if name.startswith(("tests", "docs", "notebooks"))]


def test_source_distribution_has_what_its_tests_need(built):
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"tests/conftest.py", "docs/conf.py", "constraints.txt", "RESULTS.md"} <= names
    assert "docs/RESULTS.md" not in names  # a copy that building the documentation makes


def test_wheel_runs_outside_the_checkout(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    shell = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    where = [sys.executable, "-c", "import srlongtail; print(srlongtail.__file__)"]
    assert subprocess.run(where, check=True, **shell).stdout.startswith(str(site))
    evaluate = [sys.executable, "-m", "srlongtail.cli", "evaluate", "fsrcnn-fpl-x4"]
    scores = subprocess.run(evaluate, check=True, **shell).stdout
    assert "photos" in scores
    assert (site / "bin" / "srlongtail").is_file() or os.name == "nt"
