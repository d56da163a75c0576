"""How time and memory of the commands grow with the size and the number of the images.

    python tests/benchmarks/growth.py sizes counts processes     # measure; each in 1 to 5 minutes
    python tests/benchmarks/growth.py draw

Measures whole commands, each in a process of its own with one thread: CPU time and peak memory.
The rows go to docs/speed-growth.csv, and their picture to docs/images/speed-growth.png.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from srlongtail.image.dataset import photos
from srlongtail.image.io import write_image

DOCS = Path(__file__).parents[2] / "docs"
TABLE, PICTURE = DOCS / "speed-growth.csv", DOCS / "images" / "speed-growth.png"
SIDES = (256, 512, 1024, 2048)  # pixels, of one HR image
COUNTS = (2, 8, 32)  # HR images of 256 x 256 pixels
PROCESSES = (1, 2, 4)
COMMANDS = {
    "evaluate": "evaluate fsrcnn-fpl-x4 --data {data}",
    "LAM": "attribute fsrcnn-fpl-x4 {image} --window 96 96 16 --out {out}",
    "compare": "compare fsrcnn-skip-x4 fsrcnn-fpl-x4 --data {data} --out {out}",
    "analyze": "analyze fsrcnn-fpl-x4 --data {data} --out {out}/report.html",
}


def write_images(folder: Path, count: int, side: int) -> None:
    """Crops of a mosaic of the built-in photos."""
    row = torch.cat([photo.hr[:, :300, :451] for photo in photos(4)], dim=2)
    strip = torch.cat([row, row.flip(2)], dim=2)
    mosaic = torch.cat([strip, strip.flip(1)] * 4, dim=1)
    for index in range(count):
        top, left = 37 * index % 300, 53 * index % (strip.shape[2] - side + 1)
        write_image(folder / f"{index:03}.png", mosaic[:, top : top + side, left : left + side])


def cost(command: str, processes: int = 1) -> tuple[float, float, float]:
    """CPU time and wall time in seconds, and the peak memory of a process in MB."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    module = ["-m", "srlongtail.cli", *command.split()]
    start = os.times()
    process = subprocess.Popen(
        [sys.executable, *(launch if processes > 1 else []), *module],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command}: status {status}")
    wall = os.times().elapsed - start.elapsed
    return usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024


def measure(what: str) -> Iterator[dict[str, object]]:
    """Rows of commands on images that grow in size or in number, or in more processes."""
    cases = {
        "sizes": [(1, side, 1) for side in SIDES],
        "counts": [(count, 256, 1) for count in COUNTS],
        "processes": [(COUNTS[-1], 256, processes) for processes in PROCESSES],
    }
    for count, side, processes in cases[what]:
        with tempfile.TemporaryDirectory() as folder:
            data, out = Path(folder) / "data", Path(folder) / "out"
            write_images(data, count, side)
            image = data / "000.png"
            for name, command in COMMANDS.items():
                if what == "sizes" or (what == "counts" and name != "LAM") or name == "evaluate":
                    filled = command.format(data=data, image=image, out=out)
                    cpu, wall, memory = cost(filled, processes)
                    yield {
                        "grows": what,
                        "command": name,
                        "images": count,
                        "megapixels": count * side**2 / 1e6,
                        "processes": processes,
                        "cpu_s": round(cpu, 2),
                        "wall_s": round(wall, 2),
                        "memory_mb": round(memory),
                    }


def slope(megapixels: pd.Series, values: pd.Series) -> float:
    """Growth of a quantity per megapixel, by least squares."""
    return float(np.polyfit(megapixels, values, 1)[0])


def draw(table: pd.DataFrame) -> None:
    """Time and memory over the megapixels, one column for sizes and one for counts."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(6.875, 4.6), layout="constrained", sharey="row")
    titles = {"sizes": "One image, growing", "counts": "More images of 256 x 256 pixels"}
    units = {"cpu_s": ("CPU time, s", "s"), "memory_mb": ("Peak memory, MB", "MB")}
    colors = dict(zip(COMMANDS, ("#0072B2", "#D55E00", "#009E73", "#CC79A7"), strict=True))
    for column, (grows, title) in enumerate(titles.items()):
        for row, (quantity, (label, unit)) in enumerate(units.items()):
            ax = axes[row, column]
            for name, rows in table[table["grows"] == grows].groupby("command", sort=False):
                rate = slope(rows["megapixels"], rows[quantity])
                ax.plot(
                    rows["megapixels"],
                    rows[quantity],
                    "o-",
                    color=colors[str(name)],
                    markersize=3,
                    linewidth=1,
                    label=f"{name}: {rate:+.3g} {unit}/MP",
                )
            ax.legend(fontsize=7, frameon=False)
            ax.set_ylim(bottom=0)
            ax.tick_params(labelsize=7)
            if not column:
                ax.set_ylabel(label, fontsize=8)
            if row:
                ax.set_xlabel("HR megapixels (MP)", fontsize=8)
            else:
                ax.set_title(title, fontsize=8)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=200)


def main(parts: list[str]) -> None:
    table = pd.read_csv(TABLE) if TABLE.exists() else None
    for part in parts:
        if part == "draw":
            draw(pd.read_csv(TABLE))
            continue
        measured = pd.DataFrame(measure(part))
        kept = [] if table is None else [table[table["grows"] != part]]
        table = pd.concat([*kept, measured])
        table.to_csv(TABLE, index=False)
        print(measured.to_string(index=False))


if __name__ == "__main__":
    main(sys.argv[1:])
