"""Images as tensors: reading, color, resampling, degradation, tiles, data folders.

An image is a float tensor `(..., 3, H, W)`, RGB, range [0, 1]. Nothing here knows a network.
"""

from typing import Literal

# How LR images are made; named here, where a command line can see it without importing torch.
DegradationName = Literal["bicubic", "blur-noise"]
