"""Help in plain words, for every command."""

import sys

import pytest

from srlongtail import cli
from srlongtail.cli.main import COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_neither_python_types_nor_none(command, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["srlongtail", command, "--help"])
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as end:
        cli.main()
    text = capsys.readouterr().out.replace("--no-open", "")  # the one option of this kind
    assert end.value.code == 0
    for jargon in ("None", "STR", "INT", "{None}", "--no-", "default: )", "default: False", "()"):
        assert jargon not in text, jargon
    assert "--" in text
