"""What passes for a model, and how images are gone through."""

import pytest
import torch

from srlongtail.errors import InputError
from srlongtail.longtail.restorers import restorers_by_name
from srlongtail.models.sr_model import bicubic


def test_models_by_their_own_names_and_by_given_ones():
    lr = torch.rand(3, 4, 4)
    low = bicubic(2).restore(lr)
    assert torch.equal(restorers_by_name([bicubic(2)])["bicubic"](lr), low)
    weight = torch.ones((), requires_grad=True)
    given = restorers_by_name({"low": bicubic(2), "scaled": lambda lr: low * weight})
    assert list(given) == ["low", "scaled"]
    assert torch.equal(given["low"](lr), low)
    assert not given["scaled"](lr).requires_grad


def test_mistakes():
    with pytest.raises(InputError, match="models: function without a name, expected objects with"):
        restorers_by_name([lambda lr: lr])
    with pytest.raises(InputError, match="models: two called bicubic, expected each name once"):
        restorers_by_name([bicubic(2), bicubic(2)])
    with pytest.raises(InputError, match="models: none, expected one or more"):
        restorers_by_name({})
