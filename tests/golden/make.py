"""Compute the golden numbers anew: `python tests/golden/make.py` writes the CSV files beside it.

Nothing here uses srlongtail. MATLAB's and torch's bicubic are written down in numpy from their
definitions, PSNR and SSIM are scikit-image's, and local attribution maps follow the published
procedure step by step: the whole image at every step, one step at a time, the gradient by hand.
The images are crops of the photos that ship inside scikit-image.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

HERE = Path(__file__).parent
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
WINDOWS = (
    ("astronaut", 100, 200, 60, 80),
    ("chelsea", 60, 120, 84, 36),
    ("coffee", 180, 300, 40, 64),
)
SIDE, SIZE = 144, 16  # of the crops that are attributed, and of the window, in SR pixels
SIGMA, STEPS, TAPS = 1.2, 50, 9


def cubic(x, a):
    """Keys' cubic convolution kernel."""
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def resizing_matrix(size, scale, a, antialias, symmetric):
    """The weight of each input pixel (columns) in each output pixel (rows) along one axis."""
    count = int(np.ceil(size * scale))
    stretch = min(scale, 1) if antialias else 1
    matrix = np.zeros((count, size))
    for row in range(count):
        centre = (row + 0.5) / scale - 0.5
        reach = 2 / stretch
        places = np.arange(int(np.floor(centre - reach)), int(np.ceil(centre + reach)) + 1)
        weights = cubic((centre - places) * stretch, a)
        weights /= weights.sum()
        if symmetric:  # borders mirrored with the edge pixel repeated, as in MATLAB
            places = places % (2 * size)
            places = np.where(places < size, places, 2 * size - 1 - places)
        else:  # the edge pixel repeated, as in torch
            places = places.clip(0, size - 1)
        np.add.at(matrix[row], places, weights)
    return matrix


def resize(image, scale, a, antialias, symmetric):
    """Both axes of `(H, W, C)`."""
    rows = resizing_matrix(image.shape[0], scale, a, antialias, symmetric)
    columns = resizing_matrix(image.shape[1], scale, a, antialias, symmetric)
    return np.einsum("ij,jkc,lk->ilc", rows, image, columns, optimize=True)


def matlab_bicubic(image, scale):
    return resize(image, scale, -0.5, antialias=True, symmetric=True)


def torch_bicubic(image, scale):
    return resize(image, scale, -0.75, antialias=False, symmetric=False)


def photo(name):
    """Levels of 255, cropped to multiples of 12."""
    image = getattr(data, name)().astype(np.float64)
    height, width = (side - side % 12 for side in image.shape[:2])
    return image[:height, :width]


def bicubic_values():
    """MATLAB's bicubic of the photos at 24 places each, in levels, before any rounding."""
    rows = []
    for name in PHOTOS:
        for scale in (2, 3, 4):
            small = matlab_bicubic(photo(name), 1 / scale)
            height, width, _ = small.shape
            places = np.random.default_rng(scale).integers(0, [height, width, 3], (20, 3))
            corners = [(r, c, 1) for r in (0, height - 1) for c in (0, width - 1)]
            for row, column, channel in [*corners, *places.tolist()]:
                value = small[row, column, channel]
                rows.append((name, scale, row, column, channel, value))
    return pd.DataFrame(rows, columns=["image", "scale", "row", "column", "channel", "level"])


def luma(image):
    """BT.601 in studio range, in levels, of levels of RGB."""
    return image @ np.array([65.481, 128.553, 24.966]) / 255 + 16


def scores():
    """PSNR and SSIM of torch's bicubic by both protocols, as scikit-image computes them."""
    rows = []
    for name in PHOTOS:
        hr = photo(name)
        for scale in (2, 4):
            lr = np.round(matlab_bicubic(hr, 1 / scale).clip(0, 255))
            sr = np.round(torch_bicubic(lr, scale).clip(0, 255))
            inside = (slice(scale, -scale),) * 2
            a, b = sr[inside], hr[inside]
            psnr = peak_signal_noise_ratio(b, a, data_range=255)
            ssim = structural_similarity(b, a, data_range=255, channel_axis=2)
            rows.append((name, scale, "paper", psnr, ssim))
            a, b = luma(a), luma(b)
            options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
            psnr = peak_signal_noise_ratio(b, a, data_range=255)
            ssim = structural_similarity(b, a, data_range=255, **options)
            rows.append((name, scale, "y", psnr, ssim))
    return pd.DataFrame(rows, columns=["image", "scale", "protocol", "psnr_db", "ssim"])


def network_weights():
    """Two layers of 3 x 3 taps whose weights follow a formula: 3 -> 6 -> 48 channels."""
    first = 0.3 * np.sin(1 + 0.7 * np.arange(6 * 3 * 9)).reshape(6, 3, 3, 3)
    second = 0.1 * np.sin(2 + 1.1 * np.arange(48 * 6 * 9)).reshape(48, 6, 3, 3)
    return first, second


def convolve(image, weight):
    """`(C, H, W)` with zeros around, as in a network."""
    return np.stack(
        [
            sum(
                ndimage.correlate(x, k, mode="constant")
                for x, k in zip(image, kernels, strict=True)
            )
            for kernels in weight
        ]
    )


def convolve_back(gradient, weight):
    """The transpose of `convolve`."""
    return np.stack(
        [
            sum(
                ndimage.convolve(g, kernels[channel], mode="constant")
                for g, kernels in zip(gradient, weight, strict=True)
            )
            for channel in range(weight.shape[1])
        ]
    )


def attribution(lr, row, column):
    """The published procedure on LR `(3, h, w)` in [0, 1] for an SR window at (row, column)."""
    first, second = network_weights()
    height, width = lr.shape[1:]
    up = [resizing_matrix(side, 4, -0.75, False, False) for side in (height, width)]

    def forward(x):
        before = convolve(x, first)
        residual = convolve(np.where(before > 0, before, 0.25 * before), second)
        blocks = residual.reshape(3, 4, 4, height, width).transpose(0, 3, 1, 4, 2)
        image = np.einsum("ij,cjk,lk->cil", up[0], x, up[1], optimize=True)
        return image + blocks.reshape(3, 4 * height, 4 * width), before

    def backward(gradient, before):
        blocks = gradient.reshape(3, height, 4, width, 4).transpose(0, 2, 4, 1, 3)
        inside = convolve_back(blocks.reshape(48, height, width), second)
        inside = np.where(before > 0, inside, 0.25 * inside)
        direct = np.einsum("ij,cil,lk->cjk", up[0], gradient, up[1], optimize=True)
        return direct + convolve_back(inside, first)

    def target(sr):
        window = sr[:, row : row + SIZE + 1, column : column + SIZE + 1]
        down = window[:, :-1, :-1] - window[:, 1:, :-1]
        right = window[:, :-1, :-1] - window[:, :-1, 1:]
        slopes = np.sqrt(down**2 + right**2)
        gradient, part = np.zeros_like(sr), np.zeros_like(window)
        part[:, :-1, :-1] += (down + right) / slopes
        part[:, 1:, :-1] -= down / slopes
        part[:, :-1, 1:] -= right / slopes
        gradient[:, row : row + SIZE + 1, column : column + SIZE + 1] = part
        return slopes.sum(), gradient

    def kernel(sigma):
        taps = np.arange(TAPS) - TAPS // 2
        values = np.exp(-(taps[:, None] ** 2 + taps**2) / (2 * (sigma + 1e-5) ** 2))
        return values / values.sum()

    def blur(sigma):  # scipy's "mirror" does not repeat the edge pixel
        return np.stack([ndimage.correlate(x, kernel(sigma), mode="mirror") for x in lr])

    sigmas = np.linspace(SIGMA, 0, STEPS + 1)
    images = [blur(sigma) for sigma in sigmas]
    total = np.zeros_like(lr)
    for step in range(STEPS):
        sr, before = forward(images[step + 1])
        _, gradient = target(sr)
        total += backward(gradient, before) * (images[step + 1] - images[step])
    start, end = (target(forward(image)[0])[0] for image in (images[0], images[-1]))
    return total, start, end


def gini(values):
    """Mean absolute difference of all pairs over twice the mean, by the sorted sum."""
    ordered = np.sort(values.ravel())
    count = len(ordered)
    ranks = np.arange(1, count + 1)
    return ((2 * ranks - count - 1) * ordered).sum() / (count * ordered.sum())


def local_attribution_maps():
    """One row a window: its DI and sums, and the map at three of its strongest pixels."""
    rows = []
    for name, top, left, row, column in WINDOWS:
        hr = getattr(data, name)()[top : top + SIDE, left : left + SIDE]
        small = Image.fromarray(hr).resize((SIDE // 4, SIDE // 4), Image.Resampling.BICUBIC)
        lr = np.asarray(small).transpose(2, 0, 1) / 255
        total, start, end = attribution(lr, row, column)
        absolute = np.abs(total.sum(0))
        scaled = absolute / absolute.max()
        index = (1 - gini(scaled + 1e-7)) * 100
        strongest = np.argsort(-absolute.ravel(), kind="stable")[:3]
        places = [divmod(int(i), absolute.shape[1]) for i in strongest]
        values = [(r, c, total[:, r, c].sum()) for r, c in places]
        rows.append(
            (name, top, left, row, column, index, total.sum(), start, end, *np.ravel(values))
        )
    columns = ["image", "top", "left", "row", "column"]
    columns += ["diffusion_index", "attribution_sum", "target_start", "target_end"]
    columns += [f"{what}_{i}" for i in range(3) for what in ("lr_row", "lr_column", "attribution")]
    return pd.DataFrame(rows, columns=columns)


if __name__ == "__main__":
    for stem, table in (
        ("matlab_bicubic", bicubic_values()),
        ("scores", scores()),
        ("attribution", local_attribution_maps()),
    ):
        table.to_csv(HERE / f"{stem}.csv", index=False, float_format="%.10g")
        print(f"{stem}: {len(table)} rows")
