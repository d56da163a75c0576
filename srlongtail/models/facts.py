"""What is known of how a network was trained; without torch, so that recipes can use it."""

from collections.abc import Mapping
from itertools import combinations
from typing import Literal

DegradationName = Literal["bicubic", "blur-noise"]

PARTS = ("skip", "static", "learnable")
"""What Focal Pixel Learning (FPL) is made of."""


def arm_of(parts: Mapping[str, object]) -> str:
    """Return what an ablation calls a network: by the parts of FPL that it was trained with.

    >>> arm_of({"skip": True, "static": True, "learnable": False})
    'skip+static'
    >>> arm_of({}), arm_of(dict.fromkeys(PARTS, True))
    ('baseline', 'FPL')
    """
    on = [part for part in PARTS if parts.get(part)]
    return "FPL" if len(on) == len(PARTS) else "+".join(on) or "baseline"


ARMS = tuple(
    arm_of(dict.fromkeys(on, True))
    for count in range(len(PARTS) + 1)
    for on in combinations(PARTS, count)
)
