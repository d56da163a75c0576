"""Feed mutated files to the commands that open them, in one process; see `fuzz.py`.

`python fuzz_commands.py COUNT FOLDER [FIRST]`. A command must end with 0, or with 2 and one line.
"""

import contextlib
import io
import os
import random
import shutil
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from srlongtail import cli
from srlongtail.errors import InputError
from srlongtail.image.io import write_image
from srlongtail.models.find import ZOO
from srlongtail.training.loop import train
from srlongtail.training.recipe import write_recipe
from tests.conftest import SMALL, soft_noise
from tests.trust import fuzz
from tests.trust.scene import make_bench

SECONDS = 60  # on a busy machine

MODEL_COMMANDS = (
    "inspect FILE",
    "evaluate FILE --data data --out out/a.csv",
    "compare FILE fsrcnn-x4 --data data --out out",
    "histogram FILE --data data --out out",
    "weights FILE data/0.png --out out",
    "attribute FILE data/0.png --window 20 20 16 --out out",
    "restore FILE data/0.png --out out",
    "doctor FILE --data data --departures 0",
    "analyze FILE --quick --data data --out out/report.html",
    "claims --base fsrcnn-x4 --skip fsrcnn-skip-x4 --fpl FILE --data data --out out",
    "figures --only fig1 --models FILE --data data --out out",
    "tables --only table1 --models FILE --data data --out out",
)
IMAGE_COMMANDS = (
    "restore fsrcnn-x4 FILE --out out",
    "weights fsrcnn-x4 FILE --out out",
    "attribute fsrcnn-x4 FILE --out out",
    "attribute fsrcnn-x4 FILE --lr --window 0 0 16 --out out",
    "evaluate fsrcnn-x4 --data FOLDER",
    "evaluate FOLDER --data data",
    "compare bicubic fsrcnn-x4 --data FOLDER --out out",
    "analyze fsrcnn-x4 --quick --data FOLDER --out out/report.html",
    "train small.toml --data FOLDER --out out/run --resume --force",
)
# Files of the package's own: which one is mutated, and a command that opens it.
OWN_COMMANDS = (
    ("small.toml", "train FILE --data train --out out/run --resume --force"),
    ("small.toml", "ablate FILE --data train --vary static=true --seeds 0 --out out"),
    ("half-1/recipe.toml", "train --resume --out FOLDER"),
    ("half-1/state.pt", "train --resume --out FOLDER"),
    ("half-1/log.csv", "train --resume --out FOLDER"),
    ("half-1/checkpoint.safetensors", "fitting FOLDER half-2 --out out"),
    ("half-1/recipe.toml", "fitting FOLDER half-2 --out out"),
    ("bench/losses.csv", "losses FILE --out out"),
    ("bench/losses-gradients.csv", "losses FOLDER/losses.csv --out out"),
    ("focal-parameters.csv", "figures --only fig4 --ablation FILE --out out"),
)


def command(rng: random.Random, folder: Path) -> fuzz.Case:
    """Return a file, and what opens it: a command."""
    kind, own = rng.choice(("model", "model", "image", "own")), ""
    if kind == "model":
        suffix, data, _ = (fuzz.checkpoint if rng.random() < 0.8 else fuzz.card)(rng, folder)
        line = rng.choice(MODEL_COMMANDS)
        if suffix != ".toml":
            line += " --predicts image --value-range 1 --channels rgb"
    elif kind == "image":
        suffix, data, _ = fuzz.image_file(rng, folder)
        line = rng.choice(IMAGE_COMMANDS)
    else:
        own, line = rng.choice(OWN_COMMANDS)
        data, suffix = fuzz.mutated(rng, (folder / own).read_bytes()), Path(own).suffix

    def read(path: Path) -> None:
        holder = folder / "holder"
        if "FOLDER" in line:
            if own:
                shutil.copytree((folder / own).parent, holder)
            holder.mkdir(exist_ok=True)
            shutil.copy(path, holder / (Path(own).name if own else path.name))
        try:
            run(line.replace("FILE", str(path)).replace("FOLDER", str(holder)))
        finally:
            for used in (holder, folder / "out"):
                shutil.rmtree(used, ignore_errors=True)

    return suffix, data, read


def run(line: str) -> None:
    """Run a command line; raises `InputError` with its last line if it ends with 2."""
    sys.argv = ["srlongtail", *line.split()]
    said, code = io.StringIO(), 0
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            cli.main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    except Exception as error:
        raise AssertionError(line) from error
    last = said.getvalue().rstrip("\n").split("\n")[-1]
    assert "Traceback" not in said.getvalue(), said.getvalue()
    assert code == 0 or (code == 2 and last.startswith("srlongtail: error: ")), (line, code, last)
    if code:
        raise InputError(last)


def make_files(folder: Path) -> None:
    """Make what the commands need beside the mutated file, and run each once."""
    for name in ("data", "train"):
        for number in range(2):
            write_image(folder / name / f"{number}.png", soft_noise(72, 72, number))
    small = replace(SMALL, validation=str(folder / "data"), iterations=4, validate_every=4)
    write_recipe(folder / "small.toml", small)
    for half in (1, 2):
        recipe = replace(small, half=half, keep_every=2, data=(str(folder / "train"),))
        train(recipe, folder / f"half-{half}")
    make_bench(folder / "bench")
    shutil.copy(ZOO / "focal-parameters.csv", folder)
    shutil.copy(ZOO / "fsrcnn-x4.safetensors", folder / "good.safetensors")
    lines = (*MODEL_COMMANDS, "losses bench/losses.csv --out out", "figures --only fig4 --out out")
    for line in (*lines, "train small.toml --data train --out out", "fitting half-1 half-2"):
        run(line.replace("FILE", "good.safetensors"))
    shutil.rmtree(folder / "out")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    place = Path(arguments[1]).resolve()
    os.chdir(place)
    make_files(place)
    fuzz.SECONDS = SECONDS
    fuzz.KINDS["commands"] = command
    sys.argv = ["fuzz.py", "commands", *arguments]
    fuzz.main()
