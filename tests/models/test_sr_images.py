"""Folders of SR images: which file belongs to which HR image, sizes, and what is refused."""

import hashlib

import pytest
import torch

from srlongtail.errors import InputError, InputWarning
from srlongtail.image.dataset import open_data, photos
from srlongtail.image.io import write_image
from srlongtail.models.card import ModelCard
from srlongtail.models.load_any import load_any
from srlongtail.models.sr_images import SRImages, fit_to_images
from srlongtail.models.sr_model import SRModel, bicubic


@pytest.fixture
def crop():
    """A crop of a photo, `(3, 48, 60)`, exact in 8 bits."""
    return photos(4)[1].hr[:, 100:148, 100:160]


def data_of(folder, names, crop, scale=4):
    """A data set of one image under several names, in `folder/HR`."""
    for name in names:
        write_image(folder / "HR" / f"{name}.png", crop)
    return open_data(folder / "HR", scale)


def darker(crop, index):
    """A different image for each index, exact in 8 bits."""
    return (crop * 255 - index).clamp(0, 255) / 255


@pytest.mark.parametrize(
    ("hr", "sr"),
    [
        ("baby", "baby"),
        ("baby", "baby_SwinIR"),
        ("baby", "babyx4"),
        ("baby", "babyx4_SwinIR"),
        ("baby", "baby_x4_SR"),
        ("baby", "BABY_SRF_4_SR"),
        ("Baby", "baby-4x"),
        ("baby", "SwinIR_baby"),
        ("baby", "edsr.baby.x4"),
        ("baby_HR", "baby_SwinIR"),
        ("img_001_SRF_4_HR", "img_001_SRF_4_EDSR"),
        ("0801", "0801x4"),
        ("Größe (1)", "größe (1)_SR"),
        ("a+b", "a+b_x4"),
    ],
)
def test_names_that_belong_together(hr, sr, crop, tmp_path):
    data = data_of(tmp_path, [hr], crop)
    write_image(tmp_path / "sr" / f"{sr}.png", darker(crop, 5))
    images = SRImages(tmp_path / "sr", 4)
    assert images.fit(data) is data
    assert torch.equal(images.restore_pair(data[0]), darker(crop, 5))
    # The same without a data set, of which the pair alone is known.
    assert torch.equal(SRImages(tmp_path / "sr", 4).restore_pair(data[0]), darker(crop, 5))


@pytest.mark.parametrize("sr", ["babyface", "mybaby", "baby2", "baby_x2", "baby_SRF_2_SR", "bab"])
def test_names_that_do_not(sr, crop, tmp_path):
    data = data_of(tmp_path, ["baby"], crop)
    write_image(tmp_path / "sr" / f"{sr}.png", crop)
    with pytest.raises(InputError, match=r"no SR image of baby \(1 of the 1 images of"):
        SRImages(tmp_path / "sr", 4).fit(data)


def test_each_file_belongs_to_the_name_that_comes_first_and_is_longest(crop, tmp_path):
    names = ["1", "4", "9", "baby", "baby_2", "img_1", "img_10"]
    data = data_of(tmp_path, names, crop)
    files = [
        "1_SRF_4_SR",
        "4_SRF_4_SR",
        "9_SRF_4_SR",
        "baby_x4",
        "baby_2_x4",
        "img_1_SR",
        "img_10_SR",
    ]
    for index, file in enumerate(files):
        write_image(tmp_path / "sr" / f"{file}.png", darker(crop, index + 1))
    images = SRImages(tmp_path / "sr", 4)
    images.fit(data)
    for pair in data:
        wanted = darker(crop, names.index(pair.name) + 1)
        assert torch.equal(images.restore_pair(pair), wanted), pair.name


def test_an_hr_file_named_as_such_is_found_without_its_mark(crop, tmp_path):
    write_image(tmp_path / "baby_HR.png", crop)
    write_image(tmp_path / "sr" / "baby_x4.png", darker(crop, 5))
    (pair,) = open_data(tmp_path / "baby_HR.png")
    assert pair.name == "baby_HR"
    assert torch.equal(SRImages(tmp_path / "sr", 4).restore_pair(pair), darker(crop, 5))


def test_two_files_of_one_image_are_an_error_that_names_both(crop, tmp_path):
    data = data_of(tmp_path, ["baby", "bird"], crop)
    for name in ("baby_SR", "baby_EDSR", "bird"):
        write_image(tmp_path / "sr" / f"{name}.png", crop / 2)
    with pytest.raises(InputError, match=r"baby_EDSR.png and baby_SR.png may both be baby of"):
        SRImages(tmp_path / "sr", 4).fit(data)


def test_missing_images_are_all_named_or_left_out(crop, tmp_path):
    data = data_of(tmp_path, ["a", "b", "c"], crop)
    write_image(tmp_path / "sr" / "b_x4.png", crop / 2)
    images = SRImages(tmp_path / "sr", 4)
    with pytest.raises(InputError, match=r"no SR image of a, c \(2 of the 3 .*skip_bad=True"):
        images.fit(data)
    with pytest.warns(InputWarning, match="left out: .*no SR image of a, c") as warned:
        assert images.fit(data, skip_bad=True).names == ("b",)
    assert len(warned) == 1
    (tmp_path / "sr" / "b_x4.png").write_bytes(b"nothing")
    images = SRImages(tmp_path / "sr", 4)
    with pytest.raises(InputError, match="no SR image of a, c"):
        images.fit(data, skip_bad=True)


def test_the_hr_image_is_no_sr_image(crop, tmp_path):
    data = data_of(tmp_path, ["a"], crop)
    with pytest.raises(InputError, match=r"a.png: is an image of .* itself"):
        SRImages(tmp_path / "HR", 4).fit(data)


def test_a_folder_may_have_one_of_each_data_set(crop, tmp_path):
    for index, name in enumerate(("Set5", "Set14")):
        write_image(tmp_path / name / "HR" / "a.png", crop)
        write_image(tmp_path / "sr" / name.lower() / "a_SR.png", darker(crop, index + 1))
    images = SRImages(tmp_path / "sr", 4)
    for index, name in enumerate(("Set5", "Set14")):
        data = open_data(tmp_path / name)
        assert torch.equal(images.restore_pair(images.fit(data)[0]), darker(crop, index + 1))


# HR of 53 x 66 pixels, whose pair is cropped to 48 x 60 where LR is made, to 52 x 64 where LR of
# 13 x 16 is stored; SR made of it with another crop.
@pytest.mark.parametrize("size", [(53, 66), (52, 64), (48, 60), (50, 66)])
@pytest.mark.parametrize("stored", [False, True])
def test_sr_and_hr_are_cropped_to_their_common_part(size, stored, tmp_path):
    hr = photos(4)[1].hr[:, 100:153, 100:166]
    write_image(tmp_path / "Set" / "HR" / "a.png", hr)
    if stored:
        write_image(tmp_path / "Set" / "LR" / "a.png", torch.rand(3, 13, 16))
    write_image(tmp_path / "sr" / "a.png", darker(hr, 1)[:, : size[0], : size[1]])
    data, images = open_data(tmp_path / "Set"), SRImages(tmp_path / "sr", 4)
    unit = 4 if stored else 12
    used = [
        min(side, whole // unit * unit) // unit * unit
        for side, whole in zip(size, (53, 66), strict=True)
    ]
    difference = max(abs(a - b) for a, b in zip(size, data.hr_sizes[0], strict=True))
    if difference:
        with pytest.warns(UserWarning, match=rf"by up to {difference} pixels; cropped"):
            fitted = images.fit(data)
    else:
        fitted = images.fit(data)
    assert fitted.hr_sizes == (tuple(used),)
    pair = fitted[0]
    assert pair.hr.shape[-2:] == tuple(used)
    assert [4 * side for side in pair.lr.shape[-2:]] == used
    sr = images.restore_pair(pair)
    assert torch.equal(sr, darker(pair.hr, 1))
    assert images.record()["cropped"] == bool(difference)


def test_other_sizes_are_refused(crop, tmp_path):
    data = data_of(tmp_path, ["a"], crop)
    write_image(tmp_path / "sr" / "a.png", torch.rand(3, 12, 15))
    message = r"a.png: SR image of 12 x 15 pixels, expected 48 x 60"
    with pytest.raises(InputError, match=message):
        SRImages(tmp_path / "sr", 4).fit(data)
    with pytest.raises(InputError, match=message):
        SRImages(tmp_path / "sr", 4).restore_pair(data[0])


def test_photos_are_data_too(tmp_path):
    pair = photos(4)[2]
    write_image(tmp_path / "coffee_x4.png", pair.hr)
    images = SRImages(tmp_path, 4)
    fitted = fit_to_images([bicubic(4), images], photos(4)[2:3])
    assert torch.equal(images.restore_pair(fitted[0]), pair.hr)


def test_record_has_the_hash_of_the_files_used(crop, tmp_path):
    data = data_of(tmp_path, ["a"], crop)
    write_image(tmp_path / "sr" / "a.png", crop / 2)
    write_image(tmp_path / "sr" / "other.png", crop / 2)
    images = SRImages(tmp_path / "sr", 4, name="mine")
    images.fit(data)
    record = images.record()
    content = b"a.png\n" + (tmp_path / "sr" / "a.png").read_bytes()
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert (record["name"], record["scale"], record["sr_images"]) == ("mine", 4, 1)


def test_mistakes(tmp_path):
    with pytest.raises(InputError, match="nothing: no such folder, expected one of SR images"):
        SRImages(tmp_path / "nothing", 4)
    with pytest.raises(InputError, match="no images in it, expected SR images"):
        SRImages(tmp_path, 4)
    write_image(tmp_path / "a.png", torch.rand(3, 8, 8))
    with pytest.raises(InputError, match="scale 0, expected a positive integer"):
        SRImages(tmp_path, 0)


def test_models_of_both_kinds_load_together_in_order(tmp_path):
    for name in ("one", "two"):
        write_image(tmp_path / name / "a.png", torch.rand(3, 8, 8))
    sources = [str(tmp_path / "one"), "fsrcnn-x2", str(tmp_path / "two"), "bicubic"]
    models = load_any(sources)
    assert [model.name for model in models] == ["one", "fsrcnn-x2", "two", "bicubic"]
    assert [type(model) for model in models] == [SRImages, SRModel, SRImages, SRModel]
    assert [model.scale for model in models] == [2] * 4


def test_scale_of_images_that_stand_alone(tmp_path):
    def scale(folder="sr", **options):
        (model,) = load_any([str(tmp_path / folder)], **options)
        return model.scale, model.provenance.determined_by["scale"]

    write_image(tmp_path / "sr" / "a.png", torch.rand(3, 8, 8))
    assert scale() == (4, "default")
    assert scale(scale=3) == (3, "option")
    assert scale(data_scales=lambda: {2}) == (2, "LR images of the data set")
    assert scale(data_scales=lambda: {2, 3}) == (4, "default")
    write_image(tmp_path / "EDSR_x2" / "a.png", torch.rand(3, 8, 8))
    assert scale("EDSR_x2") == (2, "folder's name")
    write_image(tmp_path / "EDSR_x2" / "ax3.png", torch.rand(3, 8, 8))
    assert scale("EDSR_x2") == (3, "names of the files")


def test_a_card_names_the_images(tmp_path):
    write_image(tmp_path / "sr" / "a.png", torch.rand(3, 8, 8))
    card = tmp_path / "theirs.toml"
    card.write_text('weights = "sr"\nscale = 3\nname = "Theirs"\narm = "FPL"\n')
    (model,) = load_any([str(card)])
    assert (model.name, model.scale, model.arm) == ("Theirs", 3, "FPL")
    (model,) = load_any([ModelCard(weights=tmp_path / "sr", scale=2)])
    assert (model.name, model.scale) == ("sr", 2)
    with pytest.raises(InputError, match="scale is 3 by the card, but 4 by the other models"):
        load_any([str(card), "fsrcnn-x4"])
    card.write_text('weights = "sr"\npredicts = "residual"\n')
    with pytest.raises(InputError, match="predicts for SR images, expected it only for a network"):
        load_any([str(card)])
    with pytest.raises(InputError, match="SR images, expected no predicts=image"):
        load_any([str(tmp_path / "sr")], predicts="image")


def test_what_is_no_folder_of_images_is_left_to_the_networks(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="a folder without checkpoint, expected a network"):
        load_any([str(tmp_path / "empty")])
    with pytest.raises(InputError, match="nothing: no such model"):
        load_any([str(tmp_path / "nothing")])
