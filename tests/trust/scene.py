"""One short command line for each command, the files that it needs, and a check of its output."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from srlongtail.ablation import zoo
from srlongtail.ablation.losses import COLUMNS, GRADIENT_COLUMNS
from srlongtail.image.io import write_image
from srlongtail.models.state import read_state
from srlongtail.training.loop import train
from srlongtail.training.recipe import Recipe, read_recipe, write_recipe
from tests.conftest import soft_noise

COMMANDS = {
    "demo": "demo --no-open --out out/demo.html",
    "figures": "figures --only fig1 --data photos --out out",
    "tables": "tables --only table1 --models fsrcnn-x4 --data photos --out out",
    "evaluate": "evaluate fsrcnn-x4 --data photos --save out/sr --out out/scores.csv",
    "compare": "compare fsrcnn-x4 fsrcnn-fpl-x4 --data photos --out out",
    "analyze": "analyze fsrcnn-x4 --quick --data photos --out out/report.html",
    "claims": "claims --data photos --out out",
    "doctor": "doctor fsrcnn-x4 --data photos --out out/doctor.json",
    "histogram": "histogram fsrcnn-x4 --data photos --out out",
    "fitting": "fitting half-1 half-2 --out out",
    "weights": "weights fsrcnn-x4 photos/0.png --out out",
    "attribute": "attribute fsrcnn-x4 photos/0.png --out out",
    "restore": "restore fsrcnn-x4 photos --out out",
    "inspect": "inspect fsrcnn-x4",
    "train": "train small.toml --data data/train --resume --out out",
    "ablate": "ablate small.toml --data data/train --vary static=true,false --seeds 0 "
    "--iterations 12 --test data/valid --out out",
    "losses": "losses bench/losses.csv --out out",
    "zoo": "zoo build --data data/train --only fsrcnn-x4 --test data/valid --out out/zoo "
    "--install out/installed --device cpu",
}
"""Each runs in the folder of the scene, and writes to `out`."""

# As `replacing` names what it has not written to the end.
UNFINISHED = re.compile(r"\.[a-z0-9_]{8}\.\w+")


def make_scene(root: Path, data: Path, small: Recipe) -> None:
    """Make two photos, training images, a recipe, runs on their halves, and a bench of losses."""
    for number in range(2):
        write_image(root / "photos" / f"{number}.png", soft_noise(72, 72, number))
    shutil.copytree(data, root / "data")
    small = replace(small, validation=str(root / "data/valid"))
    write_recipe(root / "small.toml", small)
    for half in (1, 2):
        recipe = replace(small, half=half, keep_every=6, data=(str(root / "data/train"),))
        train(recipe, root / f"half-{half}")
    make_bench(root / "bench")


def make_bench(folder: Path) -> None:
    """Write the tables of a small bench of losses."""
    folder.mkdir()
    losses, rankings = ("l1", "l1-perturbed", "fpl"), ("gradient", "bicubic_ad")
    runs = product(losses, range(5), rankings, range(1, 11))
    rng = np.random.default_rng(0)
    scores, shares = [], []
    for loss, seed, ranking, tenth in runs:
        key, error = (loss, seed, 12), tenth + rng.normal(0, 0.01)
        scores.append((*key, "held-out", ranking, tenth, error, error**2, 26 + error / 99, 0.7))
        shares.append((*key, 0.1, ranking, tenth, 10, 10))
    pd.DataFrame(scores, columns=COLUMNS).to_csv(folder / "losses.csv", index=False)
    table = pd.DataFrame(shares, columns=GRADIENT_COLUMNS)
    table.to_csv(folder / "losses-gradients.csv", index=False)


def small_zoo(root: Path, replace_attribute: Callable[[object, str, object], None]) -> None:
    """Let `zoo build` train one small network."""
    recipe = replace(read_recipe(root / "small.toml"), name="fsrcnn-x4")
    replace_attribute(zoo, "find_recipe", lambda _: recipe)
    replace_attribute(zoo, "ZOO", (zoo.ZooNetwork("fsrcnn-x4", recipe.iterations),))


def check_files(folder: Path) -> list[Path]:
    """Return the files below a folder after checking that each is whole."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        if not UNFINISHED.fullmatch(path.name):
            _CHECKS.get(path.suffix, Path.read_bytes)(path)
    return files


def _check_table(path: Path) -> None:
    text = path.read_text()
    assert text.endswith("\n"), path
    assert len({len(row) for row in csv.reader(text.splitlines())}) == 1, path


def _check_end(path: Path, end: bytes) -> None:
    assert path.read_bytes().rstrip().endswith(end), path


_CHECKS: dict[str, Callable[[Path], object]] = {
    ".csv": _check_table,
    ".json": lambda path: json.loads(path.read_text()),
    ".toml": read_recipe,
    ".png": lambda path: Image.open(path).load(),
    ".pdf": lambda path: _check_end(path, b"%%EOF"),
    ".html": lambda path: _check_end(path, b"</html>"),
    ".npz": lambda path: dict(np.load(path)),
    ".safetensors": read_state,
    ".pt": lambda path: torch.load(path, weights_only=True),
}
