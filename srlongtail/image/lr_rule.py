"""Which rule made stored LR images: the paper's, MATLAB's on 8-bit images, or another."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from srlongtail.image.dataset import ImagePair
from srlongtail.image.io import to_levels
from srlongtail.image.resample import imresize, imresize_uint8


@dataclass(frozen=True)
class LRRule:
    """Numbers of LR images that equal what a rule makes from HR, to the last level.

    Attributes:
        once: By bicubic rounded once, at the end: the paper's rule, also used for LR made here.
        twice: By bicubic rounded after each pass, as MATLAB does on 8-bit images.
        other: By neither.

    Example:
        >>> print(LRRule(once=0, twice=14, other=0))
        MATLAB's bicubic on 8-bit images, rounded twice where the paper rounds once
        >>> print(LRRule(once=0, twice=0, other=3))
        not the paper's bicubic, by which LR is made for the published numbers
    """

    once: int
    twice: int
    other: int

    @property
    def is_papers(self) -> bool:
        """Whether all images equal what the paper's rule makes."""
        return not self.twice and not self.other

    def __str__(self) -> str:
        if self.is_papers:
            return "the paper's bicubic"
        differing, total = self.other or self.twice, self.once + self.twice + self.other
        some = f"of {differing} images " if differing < total else ""
        if self.other:
            return f"{some}not the paper's bicubic, by which LR is made for the published numbers"
        return f"{some}MATLAB's bicubic on 8-bit images, rounded twice where the paper rounds once"


def find_lr_rule(pairs: Iterable[ImagePair]) -> LRRule:
    """Compare LR images with what the rules make from HR.

    This takes about as long as reading the images.

    Args:
        pairs: 8-bit images whose HR and LR cover the same pixels.

    Example:
        >>> from srlongtail.image.dataset import photos
        >>> find_lr_rule(photos(4)[:1])
        LRRule(once=1, twice=0, other=0)
    """
    found = [_rule(pair) for pair in pairs]
    return LRRule(**{rule: found.count(rule) for rule in ("once", "twice", "other")})


def _rule(pair: ImagePair) -> str:
    hr, lr = ((image * 255).round().to(torch.uint8) for image in (pair.hr, pair.lr))
    once = to_levels(imresize(pair.hr, 1 / pair.scale)).to(torch.uint8)
    if torch.equal(once, lr):
        return "once"
    return "twice" if torch.equal(imresize_uint8(hr, 1 / pair.scale), lr) else "other"
