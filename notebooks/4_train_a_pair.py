# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4 Train a pair, and watch head and tail
#
# Two small networks are trained here, one with L1 and one with Focal Pixel Learning (FPL), both with the
# bicubic skip. You will watch their loss and the error of head and tail as the runs go on, and then compare
# them where it counts: in tenths of the pixels. Three photos are for training, one is for validation; a
# minute of training shows how the tools work, not which loss is better.

# %% [markdown]
# **Images.** Training reads folders. These hold the built-in photos.

# %%
import tempfile
from pathlib import Path

import pandas as pd

import srlongtail as sr
from srlongtail.studies import tenths
from srlongtail.studies.inline import show
from srlongtail.training.loop import train
from srlongtail.training.recipe import find_recipe

# %% [markdown]
# More imports, and the data of this notebook.

# %%
from srlongtail.widgets import RunWatcher

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
photos = sr.photos(scale=4)
for kind, pairs in {"train": photos[1:], "valid": photos[:1]}.items():
    for pair in pairs:
        sr.write_image(folder / kind / f"{pair.name}.png", pair.hr)

# %% [markdown]
# **Recipes.** A recipe is a training run as plain data. These start from the paper's, with another network
# (ESPCN, which learns fast), smaller patches and far fewer iterations.

# %%
small = {
    **{"network": "espcn", "arguments": {}, "learning_rate": 3e-3},
    "data": (str(folder / "train"),),
    "validation": str(folder / "valid"),
    **{"iterations": 300, "patch": 16, "validate_every": 60, "log_every": 10},
}
names = ("fsrcnn-skip-x4", "fsrcnn-fpl-x4")
recipes = {name: find_recipe(name).changed(small) for name in names}

# %% [markdown]
# **Watch.** The watchers read the runs' logs while the next cell trains: loss, and the mean AD of head and
# tail, in training and validation.

# %%
watchers = [RunWatcher(folder / name) for name in names]
for name, recipe in recipes.items():
    train(recipe, folder / name, device="cpu")
for watcher in watchers:
    watcher.look()
    display(watcher)

# %% [markdown]
# **The log** has a row for each look at the network. The same columns are in `log.csv` of every run.

# %%
columns = [
    "iteration",
    "validation_psnr_db",
    "validation_head_ad_levels",
    "validation_tail_ad_levels",
]
logs = {name: pd.read_csv(folder / name / "log.csv").dropna()[columns] for name in names}
pd.concat(logs).droplevel(1).round(3)

# %% [markdown]
# **Head and tail.** Error and gain over bicubic by tenths of the pixels, on the photo that neither network
# has seen. With one image there is no interval, and with one seed no verdict: `srlongtail ablate` trains
# several.

# %%
models = [sr.load_model(folder / name) for name in names]
for model, name in zip(models, names, strict=True):
    model.name = name
by_tenth = tenths.compute([sr.load_model("bicubic"), *models], photos[:1])
show(tenths.draw, by_tenth)
