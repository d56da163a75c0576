"""What the command says first, and how the shell completes it."""

import contextlib
import shutil
import subprocess
import sys

import pytest

from srlongtail import __version__, cli
from srlongtail.cli.main import COMMANDS


def printed(monkeypatch, capsys, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["srlongtail", *arguments])
    with contextlib.suppress(SystemExit):
        cli.main()
    return capsys.readouterr().out


def test_without_arguments_ten_lines_name_commands_that_exist(monkeypatch, capsys):
    lines = printed(monkeypatch, capsys).splitlines()
    assert len(lines) == 10
    assert max(map(len, lines)) <= 100
    named = [line.split()[1] for line in lines if line.startswith("  srlongtail ")]
    assert len(named) >= 6
    assert set(named) <= set(COMMANDS)


def test_version_is_that_of_the_installed_package(monkeypatch, capsys):
    assert printed(monkeypatch, capsys, "--version").split() == ["srlongtail", __version__]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_script_names_every_command(shell, monkeypatch, capsys):
    script = printed(monkeypatch, capsys, "--tyro-print-completion", shell)
    assert [name for name in COMMANDS if name not in script] == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is absent")
@pytest.mark.parametrize(
    ("words", "completed"), [(("ev",), "evaluate"), (("evaluate", "--prot"), "--protocol")]
)
def test_bash_completes_commands_and_options(words, completed, monkeypatch, capsys):
    script = printed(monkeypatch, capsys, "--tyro-print-completion", "bash")
    typed = " ".join(("srlongtail", *words))
    script += f"""
COMP_WORDS=({typed}); COMP_CWORD={len(words)}; COMP_LINE="{typed}"; COMP_POINT={len(typed)}
$(complete -p srlongtail | sed "s/.*-F \\([^ ]*\\).*/\\1/") srlongtail {words[-1]} srlongtail
echo "${{COMPREPLY[@]}}"
"""
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [completed]
