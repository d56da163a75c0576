"""The twin-fitting numbers against NumPy, and the scores against `evaluate`."""

import numpy as np
import pytest
import torch

from srlongtail.errors import InputError
from srlongtail.evaluation import evaluate
from srlongtail.image.dataset import ImagePair, make_pair, open_data, photos
from srlongtail.image.degrade import Bicubic, BlurNoise
from srlongtail.image.io import write_image
from srlongtail.image.resample import upsample_bicubic
from srlongtail.longtail.difference import absolute_difference
from srlongtail.models.sr_model import SRModel, bicubic
from srlongtail.training.patches import PatchBank
from srlongtail.training.recipe import Recipe
from srlongtail.training.validation import Bands, TrainingSample, Validation, validation_set

BIN = 0.25  # the histogram that the quantiles are read from


def pairs() -> list[ImagePair]:
    return [
        make_pair(
            torch.rand(3, 48, 96, generator=torch.Generator().manual_seed(seed)),
            Bicubic(4),
            str(seed),
        )
        for seed in range(3)
    ]


def pooled(values):
    return np.concatenate([value.numpy().ravel() for value in values])


def test_bands_are_quantiles_over_all_pixels():
    bands = Bands(pairs())
    prior = pooled(absolute_difference(upsample_bicubic(p.lr, 4), p.hr) for p in pairs())
    assert bands.limits.head_below == pytest.approx(np.quantile(prior, 0.5), abs=BIN)
    assert bands.limits.tail_above == pytest.approx(np.quantile(prior, 0.9), abs=BIN)


def test_errors_are_means_over_the_bands_pixels():
    images = pairs()
    bands = Bands(images)
    restored = [(pair, (pair.hr + 0.1 * torch.rand_like(pair.hr)).clamp(0, 1)) for pair in images]
    error = bands.error(restored)
    prior = pooled(absolute_difference(upsample_bicubic(p.lr, 4), p.hr) for p in images)
    own = pooled(absolute_difference(sr, pair.hr) for pair, sr in restored)
    assert error.head_ad_levels == pytest.approx(
        own[prior < bands.limits.head_below].mean(), rel=1e-5
    )
    assert error.tail_ad_levels == pytest.approx(
        own[prior > bands.limits.tail_above].mean(), rel=1e-5
    )


def test_scores_are_those_of_evaluate(data):
    torch.manual_seed(0)
    model = SRModel(torch.nn.Upsample(scale_factor=4), 4, name="nearest")
    images = open_data(data / "valid")
    fit = Validation("valid", images).measure(model)
    table = evaluate([model], [images])
    assert fit.psnr_db == pytest.approx(table["psnr_db"].mean())
    assert fit.ssim == pytest.approx(table["ssim"].mean())


def test_validation_images_are_degraded_like_the_training_images(data):
    recipe = Recipe(degradation="blur-noise", validation=str(data / "valid"))
    pair = Validation.of(recipe).pairs[0]
    assert torch.equal(pair.lr, BlurNoise(4)(pair.hr, pair.name))


def test_without_a_folder_the_photos_are_validated_on():
    assert Validation.of(Recipe(scale=2)).name == "photos"
    assert [p.name for p in Validation.of(Recipe(scale=2)).pairs] == list(photos(2).names)


def test_a_folder_called_photos_does_not_pass_for_the_built_in_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    assert validation_set("", Recipe()).names == photos(4).names
    with pytest.raises(InputError, match="photos: no images in it"):
        validation_set("photos", Recipe())


def test_errors_offer_what_a_recipe_can_say(tmp_path):
    for name, side in (("HR/1.png", 48), ("LR_mild/1.png", 12), ("LR_wild/1.png", 12)):
        write_image(tmp_path / name, torch.rand(3, side, side))
    advice = "NAME=HR,LR names one, the path of the HR folder itself makes LR from HR"
    with pytest.raises(InputError, match=f"expected one of these folders; {advice}$"):
        validation_set(str(tmp_path), Recipe())
    assert validation_set(str(tmp_path / "HR"), Recipe()).makes_lr
    assert not validation_set(f"v={tmp_path / 'HR'},{tmp_path / 'LR_mild'}", Recipe()).makes_lr


def test_the_training_sample_is_always_the_same():
    bank = PatchBank(pairs(), patch=8)
    one, two = (TrainingSample(bank, count=5) for _ in range(2))
    assert torch.equal(one.patches.hr, two.patches.hr)
    assert one.measure(bicubic(4)) == two.measure(bicubic(4))
    assert one.measure(bicubic(4)).tail_ad_levels > one.measure(bicubic(4)).head_ad_levels
