"""What passes for a model, and how images are gone through."""

import pytest
import torch

from srlongtail.errors import InputError
from srlongtail.image.dataset import ImagePair
from srlongtail.longtail.restorers import restorers_by_name
from srlongtail.models.sr_model import bicubic


def test_models_by_their_own_names_and_by_given_ones():
    lr = torch.rand(3, 4, 4)
    pair = ImagePair("a", torch.rand(3, 8, 8), lr)
    low = bicubic(2).restore(lr)
    assert torch.equal(restorers_by_name([bicubic(2)])["bicubic"](pair), low)
    weight = torch.ones((), requires_grad=True)
    given = restorers_by_name({"low": bicubic(2), "scaled": lambda lr: low * weight})
    assert list(given) == ["low", "scaled"]
    assert torch.equal(given["low"](pair), low)
    assert not given["scaled"](pair).requires_grad


def test_what_restores_pairs_gets_them_and_what_restores_lr_images_gets_these():
    class OfPairs:
        name = "pairs"

        def restore_pair(self, pair):
            return pair.hr / 2

    class OfLR:
        name = "lr"

        def restore(self, lr):
            return lr * 2

    pair = ImagePair("a", torch.rand(3, 8, 8), torch.rand(3, 4, 4))
    given = restorers_by_name([OfPairs(), OfLR()])
    assert torch.equal(given["pairs"](pair), pair.hr / 2)
    assert torch.equal(given["lr"](pair), pair.lr * 2)


def test_mistakes():
    with pytest.raises(InputError, match="models: function without a name, expected objects with"):
        restorers_by_name([lambda lr: lr])
    with pytest.raises(InputError, match="models: two called bicubic, expected each name once"):
        restorers_by_name([bicubic(2), bicubic(2)])
    with pytest.raises(InputError, match="models: none, expected one or more"):
        restorers_by_name({})
