"""Files are current only as long as they, and all that they depend on, are as they were."""

import matplotlib as mpl
import pytest

from srlongtail.files import write_bytes
from srlongtail.studies import current
from srlongtail.studies.current import FOLDER, Written, dependencies_sha256


@pytest.fixture
def kept(tmp_path):
    """Two files, written and remembered."""
    contents = {"a.png": b"picture", "a.csv": b"table"}
    for name, content in contents.items():
        write_bytes(tmp_path / name, content)
    Written(tmp_path, "hash").keep("a", contents)
    return Written(tmp_path, "hash")


def test_untouched_files_are_current(kept):
    assert kept.is_current("a")
    (kept.out / "a.png").touch()  # a copy is as good
    assert kept.is_current("a")
    assert not kept.is_current("b")
    assert not Written(kept.out, "another").is_current("a")


def test_edited_and_missing_files_are_not(kept):
    for path in (kept.out / "a.png", kept.out / "a.csv"):
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        assert not kept.is_current("a")
        path.unlink()
        assert not kept.is_current("a")
        path.write_bytes(content)
        assert kept.is_current("a")


@pytest.mark.parametrize("damaged", ["", "{", "[]", "null", '{"depends_on": "hash"}'])
def test_what_cannot_be_read_is_not_current(kept, damaged):
    (kept.out / FOLDER / "a.json").write_text(damaged)
    assert not kept.is_current("a")
    (kept.out / FOLDER / "a.json").write_text('{"depends_on": "hash", "files": {}}')
    assert not kept.is_current("a")


def test_all_that_files_depend_on_counts(tmp_path, monkeypatch):
    """The command, its inputs, the package, what is installed, and the settings of matplotlib."""
    package, site, path = tmp_path / "package", tmp_path / "site", tmp_path / "net.safetensors"
    for file in (package / "zoo" / "net.safetensors", package / "plots.py", path):
        write_bytes(file, b"1")
    (site / "matplotlib-3.10.dist-info").mkdir(parents=True)
    monkeypatch.setattr(current, "_PACKAGE", package)
    monkeypatch.syspath_prepend(site)
    seen = [dependencies_sha256(["figures"], [path])]
    assert dependencies_sha256(["figures"], [path]) == seen[0]

    def is_new():
        found = dependencies_sha256(["figures"], [path])
        seen.append(found)
        return found not in seen[:-1]

    for file in (package / "zoo" / "net.safetensors", package / "plots.py", path):
        file.write_bytes(b"2")
        assert is_new()
    path.unlink()
    assert is_new()
    write_bytes(package / "new.py", b"")
    assert is_new()
    write_bytes(package / "__pycache__" / "new.pyc", b"")
    assert not is_new()
    (site / "matplotlib-3.10.dist-info").rename(site / "matplotlib-3.11.dist-info")
    assert is_new()
    with mpl.rc_context({"image.cmap": "magma"}):  # which the style leaves open
        assert is_new()
    monkeypatch.setattr("srlongtail.plots.style.font_files", lambda: [str(package / "new.py")])
    assert is_new()
    monkeypatch.setattr("platform.python_version", lambda: "3.99")
    assert is_new()
    assert dependencies_sha256(["figures", "--image", "coffee"], [path]) not in seen
