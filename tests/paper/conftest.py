"""Small data sets, networks and ablations that figures and tables are made of."""

import numpy as np
import pandas as pd
import pytest
import torch

from srlongtail.ablation.grids import GRIDS
from srlongtail.ablation.run import SETTINGS
from srlongtail.image.dataset import open_data
from srlongtail.image.io import write_image


@pytest.fixture
def data(tmp_path):
    generator = torch.Generator().manual_seed(0)
    for name in "abc":
        image = torch.rand(3, 144, 180, generator=generator)
        write_image(tmp_path / "Set3" / f"{name}.png", image)
    return open_data(tmp_path / "Set3")


@pytest.fixture
def ablation(tmp_path):
    """A table as `srlongtail ablate focal-parameters` writes it, with known gains."""
    known = {"baseline": 27.0, "skip": 28.0, "gamma_sp=2": 28.5}
    rows = []
    for arm, recipe in GRIDS["focal-parameters"].runs():
        for dataset, shift in (("photos", 0.0), ("Set3", 5.0)):
            chance = np.random.default_rng(len(rows)).normal(0, 0.01)
            psnr = known.get(arm, 28.1) + shift + 0.2 * recipe.seed + chance
            settings = [getattr(recipe, key) for key in SETTINGS]
            row = (arm, recipe.seed, recipe.iterations, *settings, dataset, psnr, psnr / 40)
            rows.append(row)
    names = ["arm", "seed", "iterations", *SETTINGS, "dataset", "psnr_db", "ssim"]
    path = tmp_path / "focal-parameters.csv"
    pd.DataFrame(rows, columns=names).to_csv(path, index=False)
    return path
