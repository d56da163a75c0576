"""Data folders in the layouts people have."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from srlongtail.errors import InputError, InputWarning
from srlongtail.image.dataset import (
    PHOTOS,
    make_pair,
    open_data,
    open_files,
    open_image,
    photos,
    stated_scales,
)
from srlongtail.image.degrade import Bicubic, BlurNoise
from srlongtail.image.io import read_image, write_image


def put(path: Path, height: int, width: int, value: float = 0.5) -> None:
    write_image(path, torch.full((3, height, width), value))


def layout(root: Path, kind: str) -> Path:
    """A set of two images in one of the layouts; stored LR images are lighter than HR."""
    names = {
        "edsr": ("HR/{}.png", "LR_bicubic/X4/{}x4.png"),
        "div2k": ("DIV2K_valid_HR/{}.png", "DIV2K_valid_LR_bicubic/X4/{}x4.png"),
        "basicsr": ("GTmod12/{}.png", "LRbicx4/{}.png"),
        "selfexsr": ("image_SRF_4/{}_SRF_4_HR.png", "image_SRF_4/{}_SRF_4_LR.png"),
    }[kind]
    for image in ("img_001", "img_002"):
        put(root / names[0].format(image), 50, 38)
        put(root / names[1].format(image), 12, 9, value=0.8)
    return root


@pytest.mark.parametrize("kind", ["edsr", "div2k", "basicsr", "selfexsr"])
def test_layouts(tmp_path, kind):
    data = open_data(layout(tmp_path / "Town10", kind), scale=4)
    assert data.name == "Town10"
    assert data.names == ("img_001", "img_002")
    pair = data[1]
    assert (pair.name, pair.dataset, pair.scale) == ("img_002", "Town10", 4)
    assert pair.hr.shape == (3, 48, 36)
    assert not data.makes_lr
    assert pair.lr.mean().item() == pytest.approx(0.8)
    made = open_data(tmp_path / "Town10", scale=4, make_lr=True)
    assert made.makes_lr
    assert made[1].lr.mean().item() == pytest.approx(128 / 255)


def test_an_image_behind_a_broken_link_is_named_or_left_out(tmp_path):
    put(tmp_path / "mine" / "a.png", 30, 30)
    (tmp_path / "mine" / "b.png").symlink_to(tmp_path / "moved.png")
    message = r"mine/b\.png: a link to .*moved\.png, which does not exist, .*; skip_bad"
    with pytest.raises(InputError, match=message):
        open_data(tmp_path / "mine")
    with pytest.warns(InputWarning, match=r"^left out: .*mine/b\.png: a link to"):
        assert open_data(tmp_path / "mine", skip_bad=True).names == ("a",)


def test_flat_folders_and_names(tmp_path):
    put(tmp_path / "mine" / "b.png", 30, 30)
    put(tmp_path / "mine" / "a.JPG".lower(), 30, 30)
    (tmp_path / "mine" / "notes.txt").write_text("no image")
    assert open_data(tmp_path / "mine").names == ("a", "b")
    assert open_data(f"Set9={tmp_path / 'mine'}").name == "Set9"
    assert open_data(tmp_path / "mine" / "b.png").names == ("b",)
    for folder in ("HR", "GTmod12", "DIV2K_valid_HR", "image_SRF_4"):
        put(tmp_path / "Town10" / folder / "a.png", 30, 30)
        assert open_data(tmp_path / "Town10" / folder).name == "Town10"


def test_lr_is_made_where_a_scale_has_no_folder(tmp_path):
    pair = open_data(layout(tmp_path, "edsr"), scale=2)[0]
    assert pair.hr.shape == (3, 48, 36)
    assert pair.lr.shape == (3, 24, 18)


def test_hr_is_cropped_to_multiples_of_twelve_from_the_top_left():
    hr = torch.rand(3, 50, 47)
    pair = make_pair(hr, Bicubic(4))
    assert torch.equal(pair.hr, hr[:, :48, :36])
    assert torch.equal(pair.lr, Bicubic(4)(hr[:, :48, :36]))


def test_the_hash_is_that_of_names_pixels_and_degradation(tmp_path):
    for folder in "ab":
        for name, value in (("x", 0.2), ("y", 0.4)):
            put(tmp_path / folder / f"{name}.png", 24, 24, value)
    one, other = (open_data(tmp_path / folder) for folder in "ab")
    assert one.sha256 == other.sha256 == open_data(tmp_path / "a").sha256
    different = [
        open_data(tmp_path / "a", scale=2),
        open_data(tmp_path / "a", degradation=BlurNoise(4)),
        open_data(tmp_path / "a")[:1],
    ]
    put(tmp_path / "b" / "y.png", 24, 24, 0.5)
    different.append(open_data(tmp_path / "b"))
    assert len({data.sha256 for data in (one, *different)}) == 5
    stored = open_data(layout(tmp_path / "c", "edsr"))
    before = stored.sha256
    put(tmp_path / "c" / "LR_bicubic/X4/img_001x4.png", 12, 9, value=0.7)
    assert open_data(tmp_path / "c").sha256 != before


def test_the_built_in_photos_may_be_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_data("photos", 2, degradation=BlurNoise(2)).degradation == BlurNoise(2)
    assert open_data("photos").names == photos().names
    put(tmp_path / "photos" / "x.png", 24, 24)
    assert open_data("photos").names == ("x",)


def test_noise_follows_the_image_not_its_place(tmp_path):
    for name in "abc":
        put(tmp_path / f"{name}.png", 24, 24)
    data = open_data(tmp_path, degradation=BlurNoise(4))
    assert torch.equal(data[2].lr, data[2:][0].lr)
    assert not torch.equal(data[1].lr, data[2].lr)


def test_photos_are_real_and_licensed():
    assert len(photos()) == len(PHOTOS)
    assert {photo.license for photo in PHOTOS} <= {"CC0", "public domain"}
    for pair in photos(4):
        assert pair.hr.std() > 0.1
        assert pair.hr.shape[-1] == 4 * pair.lr.shape[-1]
    assert open_image("coffee")[0].name == "coffee"


def test_the_published_lr_files_fit_their_hr(shared):
    for scale in (2, 4):
        data = open_data(shared / "data/test/Set14", scale)
        stored = read_image(shared / f"data/test/Set14/LR_bicubic/X{scale}/zebrax{scale}.png")
        assert data.name == "Set14"
        assert torch.equal(data[len(data) - 1].lr, stored)


def test_errors(tmp_path):
    with pytest.raises(InputError, match="none: no such folder or image"):
        open_data(tmp_path / "none")
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    with pytest.raises(InputError, match=r"empty: no images in it, .* its folders are inner"):
        open_data(tmp_path / "empty")
    with pytest.raises(InputError, match="hat: no such image, expected a file or one of astronaut"):
        open_image("hat")
    layout(tmp_path / "wrong", "edsr")
    put(tmp_path / "wrong/LR_bicubic/X4/img_001x4.png", 10, 9)
    with pytest.raises(
        InputError, match="wrong/img_001: LR image of 10 x 9 pixels, expected 12 x 9 for an HR"
    ):
        open_data(tmp_path / "wrong")
    put(tmp_path / "wrong/LR_bicubic/X4/img_001x4.png", 12, 9)
    (tmp_path / "wrong/LR_bicubic/X4/img_002x4.png").unlink()
    with pytest.raises(InputError, match=r"X4: no LR image for img_002\.png; make_lr=True makes"):
        open_data(tmp_path / "wrong")
    put(tmp_path / "dot.png", 1, 1)
    with pytest.raises(InputError, match="dot/dot: HR image of 1 x 1 pixels, expected at least 12"):
        open_data(tmp_path / "dot.png")[0]


def test_a_set_says_where_its_lr_images_came_from(tmp_path):
    stored = open_data(layout(tmp_path, "edsr")).lr_source
    assert (stored.source, stored.rule, stored.folder) == ("stored", "", "LR_bicubic/X4")
    assert (str(stored), stored.short) == ("stored in LR_bicubic/X4", "stored")
    made = open_data(tmp_path, make_lr=True, degradation=BlurNoise(4)).lr_source
    assert (made.source, made.rule, made.folder) == ("made", "blur-noise", "")
    assert made.short == "made by blur-noise"
    other = open_data(tmp_path, 2).lr_source
    assert str(other) == "made from HR by bicubic; those stored are of scale 4"
    assert open_data(tmp_path / "HR").lr_source.source == "made"


def test_two_folders(tmp_path):
    for name in "ab":
        put(tmp_path / "one" / f"{name}.png", 48, 36)
        put(tmp_path / "two" / f"{name}.png", 12, 9, value=0.8)
    hr, lr = tmp_path / "one", tmp_path / "two"
    named = open_data(hr, lr_dir=lr)
    in_short = open_data(f"Town={hr},{lr}")
    assert (named.name, in_short.name, named.lr_source.folder) == ("one", "Town", "two")
    for data in (named, in_short, open_data(hr / "a.png", lr_dir=lr / "a.png")):
        assert data[0].lr.mean().item() == pytest.approx(0.8)
    for wrong in ({"make_lr": True}, {"degradation": BlurNoise(4)}):
        with pytest.raises(InputError, match="two: LR images beside LR to be made"):
            open_data(hr, lr_dir=lr, **wrong)
    with pytest.raises(InputError, match="none: no such folder, expected one of LR images"):
        open_data(hr, lr_dir=tmp_path / "none")
    with pytest.raises(InputError, match="two: a folder of LR images, expected the LR image of a"):
        open_data(hr / "a.png", lr_dir=lr)


@pytest.mark.parametrize(
    ("hr", "lr", "common", "cut"),
    [
        ((142, 155), (36, 39), (35, 38), 4),  # rounded up
        ((144, 156), (36, 39), (36, 39), 0),
        ((146, 159), (36, 39), (36, 39), 0),  # cropped to the scale before
        ((155, 167), (36, 39), (36, 39), 0),  # cropped to 12 before
        ((144, 156), (37, 40), (36, 39), 4),
        ((144, 156), (35, 39), (35, 39), 4),
        ((144, 156), (34, 37), (34, 37), 8),
    ],
)
def test_sizes_that_are_off_by_a_few_pixels_are_cropped_to_what_both_have(
    tmp_path, hr, lr, common, cut
):
    for folder, size in (("HR", hr), ("LR", lr)):
        write_image(tmp_path / folder / "a.png", torch.rand(3, *size))
    data = open_data(tmp_path)
    whole = read_image(tmp_path / "HR/a.png"), read_image(tmp_path / "LR/a.png")
    assert torch.equal(data[0].hr, whole[0][:, : 4 * common[0], : 4 * common[1]])
    assert torch.equal(data[0].lr, whole[1][:, : common[0], : common[1]])
    assert data.hr_sizes == (data[0].hr.shape[-2:],)
    assert (data.lr_source.cropped, data.lr_source.crop_px) == (int(cut > 0), cut)
    assert ("HR and LR of 1 images cropped" in str(data.lr_source)) == (cut > 0)


@pytest.mark.parametrize("lr", [(33, 39), (36, 36), (39, 39), (72, 78), (144, 156), (432, 400)])
def test_sizes_that_are_further_off_are_an_error(tmp_path, lr):
    put(tmp_path / "HR/a.png", 144, 156)
    put(tmp_path / "LR/a.png", *lr)
    hint = {72: ", but scale 2 fits", 144: ", but scale 1 fits"}.get(lr[0], "")
    message = rf"LR image of {lr[0]} x {lr[1]} .* expected 36 x 39 .* at scale 4{hint}$"
    with pytest.raises(InputError, match=message):
        open_data(tmp_path)


def test_every_file_is_checked_and_bad_ones_may_be_skipped(tmp_path):
    for name in ("a", "cut", "tiny", "z"):
        put(tmp_path / "HR" / f"{name}.png", 48, 36)
        put(tmp_path / "LR" / f"{name}.png", 12, 9)
    write_image(tmp_path / "HR/cut.png", torch.rand(3, 48, 36))
    whole = (tmp_path / "HR/cut.png").read_bytes()
    (tmp_path / "HR/cut.png").write_bytes(whole[:-2000])
    put(tmp_path / "LR/tiny.png", 2, 2)
    (tmp_path / "LR/z.png").unlink()
    (tmp_path / "HR/._a.png").write_bytes(b"\0\5\x16\7")
    with pytest.raises(InputError, match=r"cut\.png: damaged .* \(3 of 4 images: cut, tiny, z\)"):
        open_data(tmp_path)
    with pytest.warns(InputWarning) as warned:
        data = open_data(tmp_path, skip_bad=True)
    assert data.names == ("a",)
    told = [str(warning.message) for warning in warned]
    assert ["cut.png" in told[0], "/tiny: LR image" in told[1], "z.png" in told[2]] == [True] * 3
    (tmp_path / "HR/a.png").write_bytes(whole[:2000])
    with pytest.raises(InputError, match=r"a\.png: damaged"):
        open_data(tmp_path, skip_bad=True)


def test_deep_images_are_told_once_a_set_and_white_takes_them_as_they_are(tmp_path):
    levels = np.random.default_rng(0).integers(0, 4096, (48, 36, 3), dtype=np.uint16)
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", levels, photometric="rgb")
    with pytest.warns(InputWarning, match="16 bits per channel, but no value above 40") as warned:
        open_data(tmp_path)
    assert len(warned) == 1
    hr = open_data(tmp_path, white=4095)[0].hr
    assert np.allclose(hr.numpy() * 4095, levels.transpose(2, 0, 1), atol=1e-3)
    assert (
        open_data(tmp_path, white=4095).files_sha256 != open_data(tmp_path, white=4096).files_sha256
    )


def test_scale_8(tmp_path):
    put(tmp_path / "Town" / "HR" / "a.png", 70, 50)
    put(tmp_path / "Town" / "LR_bicubic" / "X8" / "ax8.png", 8, 6)
    stored, made = (open_data(tmp_path / "Town", 8, make_lr=make)[0] for make in (False, True))
    assert stored.hr.shape == made.hr.shape == (3, 64, 48)  # of which 12 is no divisor
    assert stored.lr.shape == made.lr.shape == (3, 8, 6)


@pytest.mark.parametrize("stored", [False, True])
def test_a_set_is_cropped_as_its_images_would_be(tmp_path, stored):
    hr, lr = torch.rand(3, 53, 66), torch.rand(3, 13, 16)
    write_image(tmp_path / "HR" / "a.png", hr)
    write_image(tmp_path / "HR" / "b.png", hr)
    for name in "ab" if stored else "":
        write_image(tmp_path / "LR" / f"{name}.png", lr)
    data = open_data(tmp_path)
    cropped = data.cropped({"a": (50, 45)})
    whole = read_image(tmp_path / "HR" / "a.png")
    if stored:
        assert torch.equal(cropped[0].hr, whole[:, :48, :44])
        assert torch.equal(cropped[0].lr, data[0].lr[:, :12, :11])
    else:
        made = make_pair(whole[:, :50, :45], Bicubic(4), "a")
        assert torch.equal(cropped[0].hr, made.hr)
        assert torch.equal(cropped[0].lr, made.lr)
    assert cropped.hr_sizes[0] == cropped[0].hr.shape[-2:]
    assert torch.equal(cropped[1].hr, data[1].hr)
    assert len({data.sha256, cropped.sha256}) == len({data.files_sha256, cropped.files_sha256}) == 2


def test_files_are_those_of_hr_and_lr(tmp_path):
    data = open_data(layout(tmp_path / "Town10", "edsr"))
    names = [path.relative_to(tmp_path / "Town10").as_posix() for path in data.files[:2]]
    assert names == ["HR/img_001.png", "LR_bicubic/X4/img_001x4.png"]
    assert len(data.files) == 4
    assert photos(4).files == ()


def test_scales_that_lr_images_say(tmp_path):
    root = layout(tmp_path / "Town10", "edsr")
    assert stated_scales(root) == {4}
    put(root / "LR_bicubic" / "X2" / "img_001x2.png", 24, 18)
    assert stated_scales(f"mine={root}") == {2, 4}
    assert stated_scales(root / "HR") == set()
    assert stated_scales(root / "HR", lr_dir=root / "LR_bicubic" / "X2") == {2}
    assert stated_scales(f"mine={root / 'HR'},{root / 'LR_bicubic' / 'X2'}") == {2}
    assert stated_scales("photos") == set()


def test_files_of_several_folders_are_one_set(tmp_path):
    put(tmp_path / "a" / "1.png", 50, 38)
    put(tmp_path / "b" / "1.png", 26, 26, value=0.7)
    files = {"one": tmp_path / "a" / "1.png", "other": tmp_path / "b" / "1.png"}
    data = open_files("mine", files, Bicubic(2))
    assert (data.name, data.scale, data.names) == ("mine", 2, ("one", "other"))
    pair = data[1]
    assert (pair.dataset, tuple(pair.hr.shape), tuple(pair.lr.shape)) == (
        "mine",
        (3, 24, 24),
        (3, 12, 12),
    )
    assert str(data.lr_source) == "made from HR by bicubic"
    put(tmp_path / "c.png", 8, 8)
    with pytest.raises(InputError, match="mine/small: HR image of 8 x 8 pixels, expected at"):
        open_files("mine", {"small": tmp_path / "c.png"})


TOGETHER = """
import json, os, sys
import srlongtail.image.dataset as dataset
from srlongtail.parallel import map_shared, process_group

checked, check = [], dataset.check_image

def counted(path, white):
    checked.append(path.name)
    return check(path, white)

dataset.check_image = counted
seen = {}
with process_group():
    for kind in ("good", "bad", "unequal"):
        folder = os.path.join(sys.argv[1], kind)
        folder += os.environ["RANK"] if kind == "unequal" else ""
        checked.clear()
        try:
            seen[kind] = dataset.open_data(folder, for_each=map_shared).hr_sizes, sorted(checked)
        except dataset.InputError as error:
            seen[kind] = str(error), sorted(checked)
with open(os.path.join(sys.argv[1], os.environ["RANK"]), "w") as file:
    json.dump(seen, file)
"""


def test_processes_check_the_files_together(tmp_path):
    for kind in ("good", "bad", "unequal0", "unequal1"):
        for index, name in enumerate("abc", start=1):
            put(tmp_path / kind / f"{name}.png", 24 * index, 24)
    for name in "bc":
        (tmp_path / "bad" / f"{name}.png").write_bytes(b"no image")
    (tmp_path / "unequal1" / "c.png").unlink()
    script = tmp_path / "script.py"
    script.write_text(TOGETHER)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([sys.executable, *launch, script, tmp_path], check=True, capture_output=True)

    first, second = (json.loads((tmp_path / rank).read_text()) for rank in "01")

    sizes = [list(size) for size in open_data(tmp_path / "good").hr_sizes]
    assert (first["good"], second["good"]) == ([sizes, ["a.png", "c.png"]], [sizes, ["b.png"]])
    assert first["bad"] == [second["bad"][0], ["a.png", "c.png"]]
    assert "b.png: " in first["bad"][0]
    assert "(2 of 3 images: b, c)" in first["bad"][0]
    assert first["unequal"][0].endswith("3, 2 items in the processes, expected the same in all")
    assert second["unequal"][0].endswith("3, 2 items in the processes, expected the same in all")
