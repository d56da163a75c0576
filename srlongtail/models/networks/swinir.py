"""SwinIR, lightweight: self-attention within small windows that shift from block to block.

Jingyun Liang, Jiezhang Cao, Guolei Sun, Kai Zhang, Luc Van Gool and Radu Timofte, "SwinIR: Image
Restoration Using Swin Transformer", ICCV Workshops 2021.

Note: only the options of lightweight super-resolution are implemented (one pixel shuffle, one
convolution per group, no absolute position, no dropout). Features have the layout
`(N, h, w, channels)`. One mask for the shifted windows is made per image and shared by all blocks.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from srlongtail.errors import InputError
from srlongtail.models.networks._layers import (
    RGB_MEAN,
    count_keys,
    named,
    one_shuffle,
    same_conv,
    shuffle_factors,
    shuffled_scale,
)

# Added to the logits of pixels that are neighbors only by the cyclic shift. Finite, as published.
_MASKED = -100.0


class SwinIR(nn.Module):
    """Groups of window-attention blocks inside one long skip, and one pixel shuffle.

    Takes RGB `(N, 3, h, w)` in [0, 1], h and w multiples of the window, and returns
    `(N, 3, h * scale, w * scale)`, unclamped.

    Args:
        scale: 2, 3 or 4.
        features: Channels of every pixel, a multiple of each of the heads.
        depths: Attention blocks in each group.
        heads: Attention heads in each group.
        window: Side of the attention windows in pixels.
        mlp_ratio: Hidden channels of the perceptrons, as a multiple of `features`.
        image_size: Side of the training patches; only used for the size of the masks in
            published state dictionaries.

    Example:
        >>> import torch
        >>> SwinIR(scale=4)(torch.rand(1, 3, 8, 8)).shape
        torch.Size([1, 3, 32, 32])

    References:
        Liang et al., ICCV Workshops 2021, https://arxiv.org/abs/2108.10257
    """

    mean: Tensor

    def __init__(
        self,
        *,
        scale: int = 4,
        features: int = 60,
        depths: Sequence[int] = (6, 6, 6, 6),
        heads: Sequence[int] = (6, 6, 6, 6),
        window: int = 8,
        mlp_ratio: float = 2,
        image_size: int = 64,
    ) -> None:
        super().__init__()
        shuffle_factors(scale)  # raises an error for other scales
        self.window = window
        self.register_buffer("mean", torch.tensor(RGB_MEAN)[:, None, None], persistent=False)
        self.conv_first = same_conv(3, features)
        self.patch_embed = named(norm=nn.LayerNorm(features))
        self.layers = nn.ModuleList(
            ResidualGroup(depth, features, group_heads, window, mlp_ratio, image_size)
            for depth, group_heads in zip(depths, heads, strict=True)
        )
        self.norm = nn.LayerNorm(features)
        self.conv_after_body = same_conv(features, features)
        self.upsample = one_shuffle(features, scale)
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if height % self.window or width % self.window:
            raise InputError(
                f"SwinIR: input of {height}x{width} pixels, "
                f"expected height and width to be multiples of the window, {self.window}"
            )
        mask = shift_mask(height, width, self.window, x.device).to(x.dtype)
        first = self.conv_first(x - self.mean)
        deep = self.patch_embed(_channels_last(first))
        for layer in self.layers:
            deep = layer(deep, mask)
        deep = self.conv_after_body(_channels_first(self.norm(deep)))
        return self.upsample(deep + first) + self.mean

    @staticmethod
    def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network.

        Other variants (with convolutions before the upsampling, three convolutions per group or
        absolute positions) are not accepted.
        """
        block = "layers.0.residual_group.blocks.0"
        signature = {
            "conv_first.weight",
            f"{block}.attn.relative_position_bias_table",
            f"{block}.mlp.fc1.weight",
            "layers.0.conv.weight",
            "upsample.0.weight",
        }
        foreign = {"conv_before_upsample.0.weight", "absolute_pos_embed"}
        if not signature <= state.keys() or foreign & state.keys():
            return None
        groups = count_keys(state, "layers.{}.conv.weight")
        layers = [f"layers.{number}.residual_group.blocks" for number in range(groups)]
        tables = [state[f"{layer}.0.attn.relative_position_bias_table"] for layer in layers]
        features = len(state["conv_first.weight"])
        window = (isqrt(len(tables[0])) + 1) // 2
        arguments = {
            "scale": shuffled_scale(state, "upsample.0", 3),
            "features": features,
            "depths": tuple(count_keys(state, layer + ".{}.norm1.weight") for layer in layers),
            "heads": tuple(table.shape[1] for table in tables),
            "window": window,
            "mlp_ratio": len(state[f"{block}.mlp.fc1.weight"]) / features,
        }
        stored_mask = state.get(f"{layers[0]}.1.attn_mask")
        if stored_mask is not None:
            arguments["image_size"] = window * isqrt(len(stored_mask))
        return arguments


class ResidualGroup(nn.Module):
    """Attention blocks, every second one shifted, and a convolution, plus the input."""

    def __init__(
        self,
        depth: int,
        features: int,
        heads: int,
        window: int,
        mlp_ratio: float,
        image_size: int,
    ) -> None:
        super().__init__()
        self.residual_group = BlockSequence(
            SwinBlock(features, heads, window, mlp_ratio, image_size, shifted=number % 2 == 1)
            for number in range(depth)
        )
        self.conv = same_conv(features, features)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        deep = self.residual_group(x, mask)
        return _channels_last(self.conv(_channels_first(deep))) + x


class BlockSequence(nn.Module):
    """A sequence of blocks, under the key of the published state dictionaries."""

    def __init__(self, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, mask)
        return x


class SwinBlock(nn.Module):
    """Attention within windows, then a perceptron on every pixel, each plus its input."""

    attn_mask: Tensor | None

    def __init__(
        self,
        features: int,
        heads: int,
        window: int,
        mlp_ratio: float,
        image_size: int,
        *,
        shifted: bool,
    ) -> None:
        super().__init__()
        self.window = window
        self.shift = window // 2 if shifted else 0
        self.norm1 = nn.LayerNorm(features)
        self.attn = WindowAttention(features, heads, window)
        self.norm2 = nn.LayerNorm(features)
        hidden = round(mlp_ratio * features)
        self.mlp = named(
            fc1=nn.Linear(features, hidden), act=nn.GELU(), fc2=nn.Linear(hidden, features)
        )
        stored_mask = shift_mask(image_size, image_size, window) if shifted else None
        self.register_buffer("attn_mask", stored_mask)
        self.register_load_state_dict_pre_hook(_keep_own_mask)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        shifted = torch.roll(self.norm1(x), (-self.shift, -self.shift), dims=(1, 2))
        windows = self.attn(to_windows(shifted, self.window), mask if self.shift else None)
        attended = from_windows(windows, self.window, height, width)
        x = x + torch.roll(attended, (self.shift, self.shift), dims=(1, 2))
        return x + self.mlp(self.norm2(x))


class WindowAttention(nn.Module):
    """Multi-head self-attention among the pixels of a window, biased by their relative position.

    Takes and returns windows `(N * windows, window ** 2, features)`.
    """

    relative_position_index: Tensor

    def __init__(self, features: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(features, 3 * features)
        self.proj = nn.Linear(features, features)
        offsets = 2 * window - 1
        self.relative_position_bias_table = nn.Parameter(torch.zeros(offsets**2, heads))
        pixel = torch.arange(window**2)
        row, column = pixel // window, pixel % window
        rows_apart = row[:, None] - row + window - 1
        columns_apart = column[:, None] - column + window - 1
        self.register_buffer("relative_position_index", rows_apart * offsets + columns_apart)

    def forward(self, windows: Tensor, mask: Tensor | None) -> Tensor:
        """Attend; `mask`, `(windows, window ** 2, window ** 2)`, is added to the logits."""
        batch, pixels, features = windows.shape
        qkv = self.qkv(windows).reshape(batch, pixels, 3, self.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        logits = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        logits = logits + bias
        if mask is not None:
            by_image = logits.unflatten(0, (-1, len(mask)))
            logits = (by_image + mask[:, None]).flatten(0, 1)
        attended = torch.softmax(logits, dim=-1) @ value
        return self.proj(attended.transpose(1, 2).reshape(batch, pixels, features))


def to_windows(x: Tensor, window: int) -> Tensor:
    """Cut `(N, h, w, channels)` into windows `(N * windows, window ** 2, channels)`."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // window, window, width // window, window, channels)
    return x.transpose(2, 3).reshape(-1, window**2, channels)


def from_windows(windows: Tensor, window: int, height: int, width: int) -> Tensor:
    """Undo `to_windows`."""
    channels = windows.shape[-1]
    x = windows.reshape(-1, height // window, width // window, window, window, channels)
    return x.transpose(2, 3).reshape(-1, height, width, channels)


def shift_mask(height: int, width: int, window: int, device: torch.device | None = None) -> Tensor:
    """Return the mask for the logits of shifted windows, `(windows, window ** 2, window ** 2)`.

    The cyclic shift moves the first rows and columns behind the last ones, into the same windows.
    Pixels of different origin must not attend to each other.
    """
    shift = window // 2
    wrapped_row = torch.arange(height, device=device) >= height - shift
    wrapped_column = torch.arange(width, device=device) >= width - shift
    origin = 2 * wrapped_row[:, None] + wrapped_column
    origin = to_windows(origin[None, :, :, None], window)
    return torch.where(origin == origin.transpose(1, 2), 0.0, _MASKED)


def _keep_own_mask(block: SwinBlock, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    # A mask is not learned, and its size reflects only that of the training patches. A state
    # dictionary from other patches, or one without masks, is accepted too.
    if block.attn_mask is not None:
        state[f"{prefix}attn_mask"] = block.attn_mask


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, WindowAttention):
        nn.init.trunc_normal_(module.relative_position_bias_table, std=0.02)


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def _channels_first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)
