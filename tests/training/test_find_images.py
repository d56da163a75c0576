"""Which files below a folder are training images."""

import hashlib

import pytest

from srlongtail.errors import InputError
from srlongtail.training.images import describe, find_images


def names(root, *files):
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return [image.name for image in find_images([root])]


def test_folders_are_searched_to_any_depth(tmp_path):
    root = tmp_path / "set"
    found = names(root, "b/2.jpg", "a/deep/1.WEBP", "0.png", "readme.txt", "DIV2K-LRx4/3.webp")
    assert found == ["set/0.png", "set/DIV2K-LRx4/3.webp", "set/a/deep/1.WEBP", "set/b/2.jpg"]


@pytest.mark.parametrize(
    ("hr", "lr"),
    [
        ("HR/1.png", "LR_bicubic/X4/1x4.png"),
        ("DIV2K_train_HR/1.png", "DIV2K_train_LR_bicubic/X4/1x4.png"),
        ("GTmod12/1.png", "LRbicx4/1.png"),
        ("image_SRF_4/1_SRF_4_HR.png", "image_SRF_4/1_SRF_4_LR.png"),
    ],
)
def test_lr_images_are_not_taken_for_hr(hr, lr, tmp_path):
    assert names(tmp_path / "set", hr, lr) == [f"set/{hr}"]


def test_validation_images_are_not_trained_on(tmp_path):
    found = names(tmp_path / "DIV2K", "DIV2K_train_HR/1.png", "DIV2K_valid_HR/801.png")
    assert found == ["DIV2K/DIV2K_train_HR/1.png"]


def test_the_description_does_not_say_where_they_lie(tmp_path):
    listed = names(tmp_path / "set", "a/1.png", "a/2.png", "b/3.png")
    about = describe(find_images([tmp_path / "set"]))
    assert about["folders"] == {"a": 2, "b": 1}
    assert about["images"] == 3
    assert about["names_sha256"] == hashlib.sha256("\n".join(listed).encode()).hexdigest()
    assert str(tmp_path) not in str(about)


def test_mistakes(tmp_path):
    with pytest.raises(InputError, match=r"none: no such folder, expected one of training images"):
        find_images([tmp_path / "none"])
    with pytest.raises(InputError, match=r"no images below it, expected .png"):
        find_images([tmp_path])
    with pytest.raises(InputError, match="no training images, expected --data DIR"):
        find_images([])
