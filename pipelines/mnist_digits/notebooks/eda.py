# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A first look at the digits
#
# What does the data set hold, is it balanced, and could a person tell the digits apart?
#
# This notebook logs by MLflow, as it would to any tracking server; the others by `spanbook.log`. Either way it is the same
# record of the same run.

# %% tags=["parameters"]
digits = None  # in a run: the value of the task `ingest`

# %%
import os
import tempfile
import warnings

warnings.filterwarnings("ignore", "IProgress not found")  # MLflow brings progress bars, which need ipywidgets

import matplotlib.pyplot as plt
import mlflow
import numpy as np

if "MLFLOW_TRACKING_URI" not in os.environ:  # in a run it is set; by hand a scratch folder will do
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    mlflow.set_tracking_uri(f"file:{tempfile.mkdtemp()}/mlruns")

if digits is None:  # by hand, in this folder
    import sys

    sys.path.insert(0, "..")
    from tasks import ingest

    digits = ingest()

images, labels = digits
print(f"{len(images)} images of {images.shape[1]} × {images.shape[2]} pixels, greys from {images.min():g} to {images.max():g}")

# %% [markdown]
# ## Labels
#
# Every digit should be there about equally often: then plain accuracy is a fair score, and a split
# that keeps the shares (a *stratified* one) is easily made.

# %%
counts = np.bincount(labels, minlength=10)

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
bars = ax.bar(range(10), counts, color="tab:blue")
ax.bar_label(bars, fontsize=9)
ax.set(xticks=range(10), xlabel="digit", ylabel="images", title="How often each digit is there")
ax.margins(y=0.12)
ax.spines[["top", "right"]].set_visible(False)
mlflow.log_figure(fig, "label-distribution.png")

mlflow.log_dict({str(digit): int(count) for digit, count in enumerate(counts)}, "images-per-digit.json")

# %% [markdown]
# ## Pixels
#
# Half of all pixels are blank paper. What is left spreads over the whole range, with a second peak
# at full ink. The mean image shows where the ink is: the outer columns say nearly nothing.

# %%
fig, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.2), layout="constrained", width_ratios=[2, 1]
)
greys, counts = np.unique(images, return_counts=True)
left.bar(greys, counts / images.size, color="tab:blue")
left.set(xticks=range(0, 17, 2), xlabel="grey (0 paper, 16 ink)", ylabel="share of pixels", title="All pixels")
left.yaxis.set_major_formatter("{x:.0%}")
left.spines[["top", "right"]].set_visible(False)
shown = right.imshow(images.mean(axis=0), cmap="cividis", vmin=0, vmax=16)
right.set(xticks=[], yticks=[], title="The mean image")
fig.colorbar(shown, ax=right, label="grey")
mlflow.log_figure(fig, "pixel-distribution.png")

mlflow.log_metric("share_of_blank_pixels", float((images == 0).mean()))

# %% [markdown]
# ## The images
#
# Twelve of each, as drawn by different hands. A few would give a person pause: no model is to be
# blamed for those.

# %%
panels = np.stack([images[labels == digit][:12] for digit in range(10)])
framed = np.pad(panels, ((0, 0), (0, 0), (1, 1), (1, 1)))  # digit, image, row, column
sheet = framed.swapaxes(1, 2).reshape(10 * 10, 12 * 10)

fig, ax = plt.subplots(figsize=(7.5, 6.6), layout="constrained")
ax.imshow(sheet, cmap="gray_r")
ax.set(xticks=[], yticks=4.5 + 10 * np.arange(10), yticklabels=range(10), ylabel="digit")
ax.set_title("The first twelve images of each digit")
mlflow.log_figure(fig, "images.png")
