"""Which files below a folder are training images."""

import hashlib
from pathlib import Path

import pytest

from srlongtail.errors import InputError
from srlongtail.training.images import (
    HELD_OUT,
    TrainingImage,
    choose_images,
    describe,
    find_images,
    held_out,
)


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


def test_halves_share_no_image_and_few_images_are_among_more():
    images = [TrainingImage(f"{number:03d}", Path(str(number))) for number in range(101)]
    one, two = (choose_images(images, half) for half in (1, 2))
    assert (len(one), len(two)) == (50, 51)
    assert sorted([*one, *two], key=lambda image: image.name) == images
    assert one == choose_images(images, 1)
    numbers = [int(image.name) for image in one]
    assert numbers == sorted(numbers)
    assert 35 < sum(numbers) / 50 < 65  # at random: no half is the front
    few, more = (choose_images(images, 1, count) for count in (4, 16))
    assert (len(few), len(more)) == (4, 16)
    assert set(few) < set(more) < set(one)
    assert choose_images(images) == images
    with pytest.raises(InputError, match="101 training images, of which 50 are in half 1, expect"):
        choose_images(images, 1, 51)
    with pytest.raises(InputError, match="1 training images, of which 0 are in half 1, expected"):
        choose_images(images[:1], 1)


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
    with pytest.raises(InputError, match="no training images, expected a folder of them"):
        find_images([])


@pytest.mark.parametrize(
    ("hr", "lr"),
    [
        ("Test/4/C_1_HR.png", "Test/4/C_1_LR4.png"),
        ("gt/1.png", "lq/1.png"),
        ("GT/1.png", "LQ/1.png"),
        ("HR/Set5/x4/1_HR_x4.png", "LR/LRBI/Set5/x4/1_LRBI_x4.png"),
        ("test_HR/1_x4.png", "test_LR/1_x1.png"),
        ("original/1.png", "LRbicx4/1.png"),
        ("1.png", "1x4.png"),
        ("photos/1.png", "lr/1.png"),
        ("1.png", "LR_bicubic/X4/1x4.png"),
        ("image_SRF_4/1_SRF_4_HR.png", "image_SRF_4/1_SRF_4_bicubic.png"),
        ("HR/1.png", "HR/._1.png"),
    ],
)
def test_neither_lr_images_nor_what_lies_beside_hr_is_trained_on(hr, lr, tmp_path):
    assert names(tmp_path / "set", hr, lr) == [f"set/{hr}"]


def test_lr_images_without_hr_are_used_if_their_folder_says_lr_and_that_is_told(tmp_path):
    with pytest.warns(UserWarning, match="DIV2K-LRx4: named like LR images, .* used as HR"):
        assert names(tmp_path / "set", "DIV2K-LRx4/3.webp") == ["set/DIV2K-LRx4/3.webp"]
    with pytest.raises(InputError, match="no images below it"):
        names(tmp_path / "marked", "a_LR4.png")


def test_of_folders_for_training_and_tests_the_latter_are_left_out(tmp_path):
    found = names(tmp_path / "set", "train/1.png", "test/2.png", "val/3.png", "more/4.png")
    assert found == ["set/more/4.png", "set/train/1.png"]
    assert names(tmp_path / "other", "test/2.png") == ["other/test/2.png"]


def test_a_link_to_an_enclosing_folder_is_not_followed(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "again").symlink_to(tmp_path / "set")
    assert names(tmp_path / "set", "a/1.png") == ["set/a/1.png"]


def test_the_images_held_out_are_told_by_folder_and_file():
    listed = HELD_OUT.read_text().split()
    assert len(set(listed)) == len(listed) == 50
    folder, file = listed[0].split("/")
    names = [f"train/{folder}/{file}", f"{folder}/{file}", f"other/{file}", f"{folder}/new.png"]
    images = [TrainingImage(name, Path(name)) for name in names]
    assert held_out(images) == images[:2]
    assert choose_images(images, hold_out=True) == images[2:]
    assert choose_images(images) == images
    assert choose_images(images[2:], 1) == choose_images(images, 1, hold_out=True)


def test_all_images_held_out_are_among_the_training_images(shared):
    found = find_images([shared / "data" / "train"])
    out = held_out(found)
    assert len(out) == 50
    assert len(choose_images(found, hold_out=True)) == len(found) - 50
