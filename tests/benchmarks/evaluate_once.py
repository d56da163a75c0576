"""PSNR and SSIM of FSRCNN on a folder, by the plain loop or by `evaluate`: a process to be timed.

    python evaluate_once.py plain|ours FOLDER THREADS

prints the CPU time and the wall time of a second pass, in seconds, and the scores, as JSON. Under
`torchrun`, the times are those of the slowest process.
"""

import json
import sys
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.metrics import structural_similarity

from srlongtail.evaluation import evaluate
from srlongtail.image.dataset import open_data
from srlongtail.models.catalog import build
from srlongtail.models.checkpoint import load_model
from srlongtail.models.fast.process import keep_memory
from srlongtail.parallel import gather, is_writer, process_group

MODEL = "fsrcnn-fpl-x4"


def numpy_imresize(image: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """MATLAB's bicubic for shrinking, as ports of it to NumPy compute it: gather and weigh."""
    for axis in (0, 1):
        size, kernel_width = image.shape[axis], 4 / scale
        x = np.arange(1, int(np.ceil(size * scale)) + 1) / scale + 0.5 * (1 - 1 / scale)
        left = np.floor(x - kernel_width / 2)
        indices = left[:, None] + np.arange(int(np.ceil(kernel_width)) + 2)
        t = np.abs(scale * (x[:, None] - indices))
        weights = (1.5 * t**3 - 2.5 * t**2 + 1) * (t <= 1)
        weights += (-0.5 * t**3 + 2.5 * t**2 - 4 * t + 2) * ((t > 1) & (t <= 2))
        weights /= weights.sum(axis=1, keepdims=True)
        mirrored = np.concatenate([np.arange(size), np.arange(size)[::-1]])
        near = mirrored[np.mod(indices - 1, 2 * size).astype(int)]
        kept = np.any(weights != 0, axis=0)
        weights, near = weights[:, kept], near[:, kept]
        moved = np.moveaxis(image, axis, 0)
        image = np.moveaxis(np.einsum("op,op...->o...", weights, moved[near]), 0, axis)
    return image


def plain_loop(folder: Path, network: torch.nn.Module) -> pd.DataFrame:
    """PSNR and SSIM by the paper's protocol, of a network that predicts the residual."""
    rows: list[tuple[Any, ...]] = []
    for path in sorted(folder.glob("*.png")):
        hr = np.asarray(Image.open(path).convert("RGB"))
        height, width = (side - side % 12 for side in hr.shape[:2])
        hr = hr[:height, :width]
        small = numpy_imresize(hr / 255.0, 1 / 4)
        lr = np.floor(small.clip(0, 1) * 255 + 0.5) / 255
        with torch.no_grad():
            x = torch.from_numpy(lr).permute(2, 0, 1)[None].float()
            bicubic = torch.nn.functional.interpolate(x, scale_factor=4, mode="bicubic")
            y = (network(x) + bicubic).clamp(0, 1)
        sr = np.floor(y[0].permute(1, 2, 0).numpy() * 255.0 + 0.5).astype(np.uint8)
        sr, hr = sr[4:-4, 4:-4], hr[4:-4, 4:-4]
        mse = np.mean((sr.astype(np.float64) - hr.astype(np.float64)) ** 2)
        ssim = structural_similarity(sr, hr, channel_axis=2, data_range=255)
        rows.append((path.stem, 20 * np.log10(255 / np.sqrt(mse)), ssim))
    return pd.DataFrame(rows, columns=["image", "psnr_db", "ssim"])


def main(how: str, folder: Path, threads: int) -> None:
    torch.set_num_threads(threads)
    model = load_model(MODEL)
    if how == "plain":
        network = build("fsrcnn", scale=4).eval()
        network.load_state_dict(model.network.state_dict())
    else:
        keep_memory()  # as the command line does
    for _ in range(2):
        start, cpu_start = perf_counter(), process_time()
        if how == "plain":
            table = plain_loop(folder, network)
        else:
            table = evaluate([model], [open_data(folder, 4)])
        times = process_time() - cpu_start, perf_counter() - start
    slowest = [max(of_processes) for of_processes in zip(*gather(times), strict=True)]
    if is_writer():
        print(json.dumps({"times": slowest, "scores": table[["psnr_db", "ssim"]].values.tolist()}))


if __name__ == "__main__":
    with process_group():
        main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
