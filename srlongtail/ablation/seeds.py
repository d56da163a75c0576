"""How far the gain of FPL varies with the seed, by the grid that ships with the networks."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from srlongtail.models.find import ZOO

SPREAD = ZOO / "seed-spread.csv"


class SeedSpread(NamedTuple):
    """The gain in PSNR over several seeds; `std_db` divides by their number less one."""

    seeds: int
    iterations: int
    mean_db: float
    std_db: float


def seed_spread(dataset: str, path: Path = SPREAD) -> SeedSpread | None:
    """Return the spread of FSRCNN's gain on a data set; None if it was not measured.

    Args:
        dataset: Its name.
        path: The table of the grid `seed-spread`.
    """
    if not path.is_file():
        return None
    table = pd.read_csv(path)
    runs = table[table["dataset"] == dataset]
    scores = runs.pivot(index="seed", columns="arm", values="psnr_db").dropna()
    if len(scores) < 2:
        return None
    gains = scores["fpl"] - scores["baseline"]
    return SeedSpread(len(gains), int(runs["iterations"].max()), gains.mean(), gains.std())
