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
# # 5 Your own checkpoint, your own network
#
# Everything in the other notebooks works for a checkpoint that you have, and for any `torch.nn.Module`. You
# will see one of each: a file whose architecture is recognized, and a network of ten lines that is trained
# for some seconds. Then they are compared, and the report of both is shown inline.

# %% [markdown]
# The built-in photos, and a folder for files.

# %%
import tempfile
from pathlib import Path

import pandas as pd
import torch
from IPython.display import IFrame
from torch import nn

import srlongtail as sr
from srlongtail.diagnosis.report import page, survey
from srlongtail.image.resample import upsample_bicubic

# %% [markdown]
# More imports, and the data of this notebook.

# %%
from srlongtail.studies import comparison
from srlongtail.studies.inline import show
from srlongtail.training.patches import PatchBank

photos = sr.photos(scale=4)
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)

# %% [markdown]
# **A checkpoint.** Training frameworks save bare weights under some key; the first lines make such a file.
# `load_model` recognizes the architecture by its weights, finds by trying on photos whether it predicts the
# image or a residual over bicubic, and says what determined each fact.

# %%
weights = sr.load_model("fsrcnn-fpl-x4").network.state_dict()
torch.save({"params_ema": weights}, folder / "net_g_x4.pth")

yours = sr.load_model(folder / "net_g_x4.pth")
facts = yours.provenance.determined_by.items()
pd.DataFrame([(key, getattr(yours, key), by) for key, by in facts], columns=["fact", "value", "by"])

# %% [markdown]
# **A network of your own.** `SRModel` wraps anything that maps `(N, 3, h, w)` in [0, 1] to `(N, 3, 4h, 4w)`.
# This one predicts what bicubic lacks, so the wrapper adds bicubic.

# %%
torch.manual_seed(0)
last = nn.Conv2d(32, 48, 3, padding=1)
nn.init.normal_(last.weight, std=1e-3)
nn.init.zeros_(last.bias)
layers = [nn.Conv2d(3, 32, 5, padding=2), nn.PReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.PReLU()]
tiny = sr.SRModel(
    nn.Sequential(*layers, last, nn.PixelShuffle(4)), 4, predicts="residual", name="tiny"
)

# %% [markdown]
# **Training it.** `FocalPixelLoss` takes the full SR image, HR and the enlarged LR image, and goes into any
# loop. It learns from three of the photos; the first one, the astronaut, is kept for testing.

# %%
bank, generator = PatchBank(photos[1:], patch=16), torch.Generator().manual_seed(0)
loss, optimizer = sr.FocalPixelLoss(), torch.optim.Adam(tiny.parameters(), lr=2e-3)
for _ in range(200):
    lr, hr = bank.cut(bank.draw(8, generator))
    value = loss(tiny(lr), hr, upsample_bicubic(lr, 4))
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
print(f"loss {value.item():.4f}")

# %% [markdown]
# **Scores**, by the paper's protocol. Judge `tiny` by the astronaut only, the photo it never saw.

# %%
models = [sr.load_model("bicubic"), yours, tiny]
scores = sr.evaluate(models, [photos])
scores.pivot(index="image", columns="model", values="psnr_db")[[m.name for m in models]].round(2)

# %% [markdown]
# **Where the gain lives.** `compare` splits the gain of one network over another into images, tenths of the
# pixels, orientations and frequencies; the parts add up. It also says which gain so few images could show.

# %%
gain = comparison.compute([tiny], [yours], [photos])
show(comparison.draw, gain)
print(gain.message())

# %% [markdown]
# **The report inline.** The page that `srlongtail analyze` writes, here a quick one: verdict, numbers, where
# the networks fail, and the viewer. It is written beside this notebook; where the notebook does not run, the
# frame stays empty.

# %%
found = survey.compute([yours, tiny], [photos], quick=True, budget=page.picture_budget(False))
written = page.write_report(found, Path("report-5.html"), quick=True)
for verdict in written.verdicts:
    print(verdict.headline)
IFrame(written.page.name, "100%", 700)
