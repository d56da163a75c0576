"""The documentation: its code runs, and it builds without a warning."""

import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import srlongtail
from srlongtail import cli
from srlongtail.image.dataset import photos
from srlongtail.image.io import write_image
from srlongtail.models.checkpoint import load_model, save_model
from srlongtail.models.networks.swinir import SwinIR
from srlongtail.models.sr_model import SRModel

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
EXTERNAL = re.compile(
    r"https://(arxiv\.org/abs/\d{4}\.\d{5}|jeri\.io"
    r"|github\.com/[\w.-]+/[\w.-]+(/tree/master/\w+)?(#[\w-]+)?)"
)
PAGES = sorted([*(DOCS / "howto").glob("*.md"), *(DOCS / "concepts").glob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"# ([\w/]+\.\w+)\n")  # first line of a block that is a file's content

# Lines that take more than a few seconds, and those that need what they write.
SLOW = ("torchrun", "srlongtail ablate", "srlongtail losses runs/bench")

# Options that make the runs of the pages short.
SHORT = {"--iterations": "4", "--keep-every": "2"}
SMALL = {
    "analyze": "--quick",
    "train": "--patch 8 --batch 2 --validation data/Set5 --validate-every 4 --save-every 4",
    "ablate": "--test data/Set5",
}


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """The language and the text of each block of code, in order."""
    yield from BLOCK.findall(page.read_text())


def run_line(line: str) -> None:
    """Run a line of a shell: our commands in this process, and the few others of the pages."""
    words = shlex.split(line, comments=True)
    for option, value in SHORT.items():
        if option in words:
            words[words.index(option) + 1] = value
    if words[0] == "srlongtail":
        target = Path(words[-1]).expanduser() if ">" in words else None
        words = words[: words.index(">")] if target else words
        words += shlex.split(SMALL.get(words[1], "")) if "--data" in words else []
        words += ["--seeds", "0", "1"] if words[1] == "ablate" and "--seeds" not in words else []
        sys.argv = words
        try:
            cli.main()
        except SystemExit as end:
            if end.code not in (None, 0):
                raise AssertionError(f"{line}: exit code {end.code}") from end
        if target:
            target.write_text("")
    elif words[0] == "torchrun":
        words += shlex.split(SMALL["train"]) if "train" in words else []
        subprocess.run([sys.executable, "-m", "torch.distributed.run", *words[1:]], check=True)
    elif words[:2] == ["mkdir", "-p"]:
        Path(words[2]).expanduser().mkdir(parents=True, exist_ok=True)
    else:
        raise AssertionError(f"{line}: no command of a page")


def sharpened() -> dict[str, torch.Tensor]:
    """The weights with which the network of a page sharpens LR and repeats its pixels."""
    weights = {}
    for index, (outputs, inputs) in enumerate([(8, 3), (8, 8), (8, 8), (48, 8)]):
        kernel = torch.zeros(outputs, inputs, 3, 3)
        rows = torch.arange(outputs) // (16 if outputs == 48 else 1)
        kernel[rows < 3, rows[rows < 3], 1, 1] = 1
        if index == 0:
            kernel[rows < 3, rows[rows < 3]] = (
                torch.tensor([[0, -1, 0], [-1, 9, -1], [0, -1, 0]]) / 5
            )
        weights |= {f"{index}.weight": kernel, f"{index}.bias": torch.zeros(outputs)}
    return weights


@pytest.fixture
def users_folder(tmp_path, monkeypatch):
    """A folder with the files that the pages take for granted."""
    for name, pair in zip(("butterfly", "bird"), photos(4), strict=False):
        crop = pair.hr[:, 100:196, 120:216]
        for folder in ("data/Set5/HR", "data/Set14/HR"):
            write_image(tmp_path / folder / f"{name}.png", crop)
        write_image(tmp_path / f"my_images/{name}.png", pair.hr[:, 100:244, 120:264])
        write_image(tmp_path / f"sr_images/{name}.png", (crop + 0.01).clamp(0, 1))
    weights = load_model("fsrcnn-fpl-x4").network.state_dict()
    for name in ("mine_x4.pth", "4x_FSRCNN_FPL.pth"):
        torch.save(weights, tmp_path / name)
    torch.save(sharpened(), tmp_path / "mine.pth")
    swinir = SRModel(SwinIR(scale=4, features=12, depths=[2], heads=[2]), 4, multiple=8)
    save_model(tmp_path / "swinir.safetensors", swinir)
    (tmp_path / "swinir.safetensors").rename(tmp_path / "swinir_x4.pth")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["srlongtail"])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    return tmp_path


def run_page(page: Path, *, slow: bool = False) -> None:
    """Run the blocks of a page, with its slow lines or without."""
    namespace: dict[str, object] = {}
    for language, text in blocks(page):
        named = FILE_NAME.match(text)
        if named:
            Path(named[1]).parent.mkdir(parents=True, exist_ok=True)
            Path(named[1]).write_text(text)
        elif language == "python":
            exec(compile(text, page.name, "exec"), namespace)
        elif language == "sh":
            for line in text.replace("\\\n", " ").splitlines():
                if slow or not line.startswith(SLOW):
                    run_line(line)


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_code_of_the_page_runs(page, users_folder):
    run_page(page)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train-on-my-data", "test-my-loss", "several-gpus"])
def test_all_code_of_the_page_runs_with_its_slow_lines(name, users_folder):
    run_page(DOCS / "howto" / f"{name}.md", slow=True)


def test_every_block_has_a_language_that_the_tests_know():
    known = {"sh", "python", "toml", "text", "zsh", "markdown"}
    for page in DOCS.rglob("*.md"):
        for language, _ in blocks(page):
            assert language in known, (page, language)


def test_reference_has_every_public_name():
    text = (DOCS / "reference" / "index.md").read_text()
    missing = [name for name in srlongtail.__all__ if not re.search(rf"\.{name}`", text)]
    assert missing == []


def test_links_of_the_pages_outside_docs_lead_to_files():
    pages = [
        *REPOSITORY.glob("*.md"),
        *REPOSITORY.glob("notebooks/*.md"),
        *REPOSITORY.glob("figures/*.md"),
    ]
    assert len(pages) > 6
    for page in pages:
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            assert link.startswith("https://") or (page.parent / link).exists(), (page.name, link)


def test_external_links_have_the_form_of_their_site():
    """There may be no network: whether the pages are there is seen by hand."""
    pages = [*REPOSITORY.glob("*.md"), *DOCS.rglob("*.md")]
    links = {
        link for page in pages for link in re.findall(r"https?://[^\s)\]>`'\"]+", page.read_text())
    }
    assert len(links) > 20
    assert [link for link in links if not EXTERNAL.fullmatch(link)] == []


@pytest.mark.slow
def test_documentation_builds_without_a_warning(tmp_path):
    build = [sys.executable, "-m", "sphinx", "-W", "-n", "-q", str(DOCS), str(tmp_path / "site")]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "site" / "index.html").is_file()
