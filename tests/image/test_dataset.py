"""Data folders in the layouts people have."""

from pathlib import Path

import pytest
import torch

from srlongtail.errors import InputError
from srlongtail.image.dataset import PHOTOS, make_pair, open_data, open_image, photos
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
    assert {photo.licence for photo in PHOTOS} <= {"CC0", "public domain"}
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
