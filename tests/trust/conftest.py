"""The scene in which every command can run."""

import pytest

from tests.trust.scene import make_scene, small_zoo


@pytest.fixture(scope="session")
def scene_files(tmp_path_factory, data, small):
    """The files of the scene, which no test changes."""
    root = tmp_path_factory.mktemp("scene")
    make_scene(root, data, small)
    return root


@pytest.fixture
def scene(scene_files, tmp_path, monkeypatch):
    """A folder with links to those files, which is the current folder; the zoo is small."""
    for path in scene_files.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    small_zoo(scene_files, monkeypatch.setattr)
    return tmp_path
