"""Which file is HR, which LR, and what belongs together, by names alone."""

from pathlib import Path

import pytest

from srlongtail.errors import InputError
from srlongtail.image.layouts import find_pairs, folder_says, images_below, set_name


def touch(root: Path, *files: str) -> Path:
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def found(root: Path, scale: int = 4, **options) -> list[tuple[str, str | None]]:
    """The pairs, as paths inside `root`; None where LR is to be made."""
    return [
        (
            pair.hr.relative_to(root).as_posix(),
            pair.lr.relative_to(root).as_posix() if pair.lr else None,
        )
        for pair in find_pairs(root, scale, **options).files
    ]


PAIRS = {
    "EDSR": ("HR/1.png", "LR_bicubic/X4/1x4.png"),
    "lower case": ("hr/1.png", "lr_bicubic/x4/1x4.png"),
    "DIV2K": ("DIV2K_valid_HR/1.png", "DIV2K_valid_LR_bicubic/X4/1x4.png"),
    "NTIRE mild": ("DIV2K_valid_HR/1.png", "DIV2K_valid_LR_mild/1x4m.png"),
    "NTIRE wild": ("DIV2K_valid_HR/1.png", "DIV2K_valid_LR_wild/1x4w.png"),
    "NTIRE unknown": ("DIV2K_valid_HR/1.png", "DIV2K_valid_LR_unknown/X4/1x4.png"),
    "BasicSR": ("GTmod12/1.png", "LRbicx4/1.png"),
    "crop by the scale": ("GTmod4/1.png", "LRbicx4/1.png"),
    "original": ("original/1.png", "LRbicx4/1.png"),
    "gt and lq": ("gt/1.png", "lq/1.png"),
    "GT and LQ": ("GT/1.png", "LQ/1.png"),
    "scale below": ("HR/x4/1.png", "LR/x4/1.png"),
    "scale above": ("X4/GT/1.png", "X4/LR/1.png"),
    "RCAN": ("HR/Set5/x4/1_HR_x4.png", "LR/LRBI/Set5/x4/1_LRBI_x4.png"),
    "bicLR": ("HR/1.png", "LR/1_bicLRx4.png"),
    "SelfExSR": ("image_SRF_4/1_SRF_4_HR.png", "image_SRF_4/1_SRF_4_LR.png"),
    "RealSR": ("Test/4/Canon_1_HR.png", "Test/4/Canon_1_LR4.png"),
    "DRealSR": ("Test_x4/test_HR/1_x4.png", "Test_x4/test_LR/1_x1.png"),
    "DRealSR's folder": ("test_HR/1_x4.png", "test_LR/1_x1.png"),
    "one folder": ("1.png", "1x4.png"),
    "one folder, marked": ("1_HR.png", "1_LR.png"),
    "one folder, marked in front": ("HR_1.png", "LR_1.png"),
    "camel case": ("testHR/1.png", "testLR/1.png"),
    "flat with a folder": ("1.png", "LR_bicubic/X4/1x4.png"),
    "a kind of LR below": ("HR/1.png", "LR/bicubic/X4/1x4.png"),
    "HRx4": ("HRx4/1.png", "LRx4_bicubic/1.png"),
    "kinds in names": ("HR/1.png", "LR/1_bicubic_x4.png"),
    "one folder, bicLR": ("1.png", "1_bicLRx4.png"),
    "letters that change their length": ("HR/Straße_HR.png", "LR/Straße_LR.png"),
    "splits": ("valid/HR/1.png", "valid/LRbicx4/1.png"),
    "a scale alone beside HR": ("HR/1.png", "X4/1.png"),
    "input and target": ("target/1.png", "input/1.png"),
    "low and high": ("high/1.png", "low/1.png"),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_layouts(tmp_path, kind):
    hr, lr = PAIRS[kind]
    touch(tmp_path, hr, lr)
    assert found(tmp_path) == [(hr, lr)]
    assert found(tmp_path, make_lr=True) == [(hr, None)]


@pytest.mark.parametrize("kind", ["EDSR", "BasicSR", "RCAN", "RealSR", "one folder", "NTIRE mild"])
def test_scale_8(tmp_path, kind):
    hr, lr = (
        name.replace("x4m", "x8").replace("4", "8").replace("mild", "x8") for name in PAIRS[kind]
    )
    touch(tmp_path, hr, lr)
    assert found(tmp_path, 8) == [(hr, lr)]


@pytest.mark.parametrize(
    "kind", ["RCAN", "SelfExSR", "RealSR", "DRealSR", "scale below", "scale above", "one folder"]
)
def test_pairs_of_another_scale_are_an_error_that_offers_to_make_lr(tmp_path, kind):
    hr, lr = PAIRS[kind]
    touch(tmp_path, hr, lr)
    with pytest.raises(InputError, match=r"scale 4, expected scale 2; with make_lr=True"):
        find_pairs(tmp_path, 2)
    assert found(tmp_path, 2, make_lr=True) == [(hr, None)]


def test_of_several_scales_the_one_asked_for_is_taken(tmp_path):
    for x in (2, 3, 4):
        touch(tmp_path / "folders", f"GTmod{x}/1.png", f"LRbicx{x}/1.png")
        touch(tmp_path / "files", "HR/1.png", f"LR/1x{x}.png")
    for x in (2, 3, 4):
        assert found(tmp_path / "folders", x) == [(f"GTmod{x}/1.png", f"LRbicx{x}/1.png")]
        assert found(tmp_path / "files", x) == [("HR/1.png", f"LR/1x{x}.png")]
    layout = find_pairs(tmp_path / "files", 8)
    assert (layout.lr_folder, layout.other_scales) == (None, (2, 3, 4))


def test_only_the_pairs_there_are(tmp_path):
    hr = ("DIV2K_train_HR/1.png", "DIV2K_valid_HR/801.png")
    touch(tmp_path, *hr, "DIV2K_valid_LR_bicubic/X4/801x4.png")
    assert found(tmp_path) == [(hr[1], "DIV2K_valid_LR_bicubic/X4/801x4.png")]
    touch(tmp_path, "DIV2K_train_LR_bicubic/X4/1x4.png")
    assert [hr for hr, _ in found(tmp_path)] == ["DIV2K_valid_HR/801.png"]


def test_lr_folders_that_stay_unused_are_an_error_that_says_how_to_go_on(tmp_path):
    touch(tmp_path, "HR/1.png", "LR_bicubic/X4/1x4.png", "LR_unknown/X4/1x4.png")
    several = r"LR images in LR_bicubic/X4, LR_unknown/X4, expected one .* lr_dir=DIR .* make_lr="
    with pytest.raises(InputError, match=several):
        find_pairs(tmp_path, 4)
    lr = tmp_path / "LR_unknown"
    assert found(tmp_path, lr_dir=lr) == [("HR/1.png", "LR_unknown/X4/1x4.png")]
    assert found(tmp_path, make_lr=True) == [("HR/1.png", None)]
    touch(tmp_path / "other", "HR/1.png", "LR_mild/a.png")
    with pytest.raises(InputError, match=r"LR images in LR_mild match none .* in HR by .* lr_dir="):
        find_pairs(tmp_path / "other", 4)


def test_the_folder_of_hr_images_itself_means_that_lr_is_made(tmp_path):
    touch(tmp_path, "DIV2K_valid_HR/1.png", "DIV2K_valid_LR_mild/1x4m.png")
    assert found(tmp_path / "DIV2K_valid_HR") == [("1.png", None)]
    lr = tmp_path / "DIV2K_valid_LR_mild"
    layout = find_pairs(tmp_path / "DIV2K_valid_HR", 4, lr_dir=lr)
    assert layout.files[0].lr == lr / "1x4m.png"


def test_lr_images_alone_are_no_hr_images(tmp_path):
    touch(tmp_path, "a_LR4.png", "b_LR4.png")
    with pytest.raises(InputError, match="only LR images, expected HR images beside them"):
        find_pairs(tmp_path, 4)
    touch(tmp_path / "other", "images/1.png", "lq/1.png", "scores.csv")
    with pytest.raises(InputError, match=r"its folders are images, lq; its files are \.csv"):
        find_pairs(tmp_path / "other", 4)


def test_what_is_no_mark_stays_part_of_the_name(tmp_path):
    touch(tmp_path, "HR/box2.png", "HR/box3.png", "HR/bo.png")
    touch(tmp_path, "LR/box2.png", "LR/box3.png", "LR/bo.png")
    for scale in (2, 4):
        assert found(tmp_path, scale) == [
            (f"HR/{name}.png", f"LR/{name}.png") for name in ("bo", "box2", "box3")
        ]
    assert [pair.name for pair in find_pairs(tmp_path, 4).files] == ["bo", "box2", "box3"]


def test_results_beside_hr_are_neither_hr_nor_lr(tmp_path):
    touch(tmp_path, "HR/1.png", "SwinIR/1_SwinIR.png", "EDSR_x4/1_x4.png")
    assert found(tmp_path) == [("HR/1.png", None)]
    touch(tmp_path / "flat", "1.png", "1_bicubic.png", "1_SwinIR.png")
    assert [lr for _, lr in found(tmp_path / "flat")] == [None] * 3
    touch(tmp_path / "image_SRF_4", "1_SRF_4_HR.png", "1_SRF_4_LR.png", "1_SRF_4_SRCNN.png")
    assert len(found(tmp_path / "image_SRF_4")) == 1


def test_several_sets_are_an_error_that_lists_them(tmp_path):
    touch(tmp_path, "Set5/HR/1.png", "Set14/HR/1.png")
    with pytest.raises(InputError, match="HR images of 2 sets, in Set14/HR, Set5/HR; expected"):
        find_pairs(tmp_path, 4)


def test_an_image_without_lr_and_one_with_several_are_told(tmp_path):
    touch(tmp_path, "HR/1.png", "HR/2.png", "LR_wild/1x4w1.png", "LR_wild/1x4w2.png")
    problems = [str(pair.problem) for pair in find_pairs(tmp_path, 4).files]
    assert problems[0].endswith(
        "LR_wild: 2 LR images for 1.png: 1x4w1.png, 1x4w2.png, expected one"
    )
    assert "LR_wild: no LR image for 2.png; make_lr=True makes" in problems[1]


def test_what_archive_programs_leave_is_ignored(tmp_path):
    touch(tmp_path, "HR/1.png", "HR/._1.png", ".hidden/2.png", "__MACOSX/HR/1.png")
    assert found(tmp_path) == [("HR/1.png", None)]
    assert len(images_below(tmp_path)) == 1


def test_links_in_a_circle_end(tmp_path):
    touch(tmp_path, "HR/1.png")
    (tmp_path / "again").symlink_to(tmp_path)
    assert ("HR/1.png", None) in found(tmp_path)


def test_an_image_behind_a_broken_link_is_still_one_of_the_images(tmp_path):
    touch(tmp_path, "HR/1.png", "LR/1.png")
    for folder in ("HR", "LR"):
        (tmp_path / folder / "2.png").symlink_to(tmp_path / "moved" / "2.png")
    assert found(tmp_path) == [("HR/1.png", "LR/1.png"), ("HR/2.png", "LR/2.png")]
    (tmp_path / "HR" / "3.png").symlink_to("3.png")  # to itself
    assert [file.path.name for file in images_below(tmp_path / "HR")] == ["1.png", "2.png", "3.png"]


def test_a_broken_link_called_like_lr_is_an_error(tmp_path):
    touch(tmp_path, "HR/1.png")
    (tmp_path / "LR_bicubic").symlink_to("elsewhere")
    message = r"LR_bicubic: a link to elsewhere, which does not exist; make_lr=True makes LR"
    with pytest.raises(InputError, match=message):
        find_pairs(tmp_path, 4)
    with pytest.warns(UserWarning, match=r"^left out: .*LR_bicubic: a link to elsewhere, which"):
        assert found(tmp_path, make_lr=True) == [("HR/1.png", None)]


@pytest.mark.parametrize(
    ("name", "role", "scale", "words"),
    [
        ("LRbicx4", "LR", 4, ()),
        ("LR4", "LR", 4, ()),
        ("LRx4_sub", "LR", 4, ()),
        ("HRx4", "HR", 4, ()),
        ("HR_2", "HR", None, ()),
        ("DIV2K_train_LR_x8", "LR", 8, ("div2k", "train")),
        ("LR_test", "LR", None, ("test",)),
        ("HR_sub", "HR", None, ()),
        ("image_SRF_4", None, 4, ()),
        ("Test_x4", None, 4, ("test",)),
        ("4x", None, 4, ()),
        ("box2", None, None, ("box2",)),
        ("gta", None, None, ("gta",)),
        ("Flickr2K", None, None, ("flickr2k",)),
        ("2x99", None, None, ("2x99",)),
    ],
)
def test_what_a_folders_name_says(name, role, scale, words):
    says = folder_says(name)
    assert (says.role, says.scale, says.words) == (role, scale, words)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("Town10/HR", "Town10"),
        ("Town10/DIV2K_valid_HR", "Town10"),
        ("Town10/image_SRF_4", "Town10"),
        ("Town10/Test/4", "Town10"),
        ("rcan/HR/Town10/x4", "Town10"),
        ("Town10/X4/GT", "Town10"),
        ("Town10", "Town10"),
        ("Town10/test", "test"),
    ],
)
def test_what_a_set_is_called(tmp_path, folder, name):
    assert set_name(tmp_path / folder) == name


def test_images_of_one_name_keep_more_of_it(tmp_path):
    touch(tmp_path / "marks", "HR/1.png", "HR/1_HR.png")
    touch(tmp_path / "endings", "1.png", "1.jpg")
    assert [pair.name for pair in find_pairs(tmp_path / "marks", 4).files] == ["1", "1_HR"]
    assert [pair.name for pair in find_pairs(tmp_path / "endings", 4).files] == ["1.jpg", "1.png"]


def test_an_lr_image_is_not_given_to_a_second_hr_image(tmp_path):
    touch(tmp_path, "HR/bo.png", "HR/box2.png", "LR/bo.png")
    assert found(tmp_path) == [("HR/bo.png", "LR/bo.png"), ("HR/box2.png", None)]
