"""Which rule stored LR images follow."""

import torch

from srlongtail.image.dataset import ImagePair, open_data, photos
from srlongtail.image.degrade import BlurNoise
from srlongtail.image.lr_rule import LRRule, find_lr_rule
from srlongtail.image.resample import imresize_uint8


def test_rules_are_told_apart_to_the_last_level():
    made = photos(4)[0]
    levels = imresize_uint8((made.hr * 255).round().to(torch.uint8), 1 / 4)
    twice = ImagePair("twice", made.hr, levels / 255)
    changed = made.lr.clone()
    changed[0, 3, 5] += 1 / 255
    other = ImagePair("other", made.hr, changed)
    assert find_lr_rule([made, twice, other, made]) == LRRule(once=2, twice=1, other=1)
    assert find_lr_rule(photos(4, BlurNoise(4))[:1]) == LRRule(once=0, twice=0, other=1)


def test_what_is_said_of_them():
    assert LRRule(3, 0, 0).is_papers
    assert not LRRule(2, 1, 0).is_papers
    assert str(LRRule(1, 0, 2)).startswith("of 2 images not the paper's bicubic")
    assert str(LRRule(0, 3, 0)).startswith("MATLAB's bicubic on 8-bit images")
    assert str(LRRule(2, 1, 0)).startswith("of 1 images MATLAB")


def test_the_published_lr_files_are_matlabs(shared):
    for scale in (2, 4):
        data = open_data(shared / "data/test/Set14", scale)
        assert find_lr_rule(data) == LRRule(once=0, twice=len(data), other=0)
