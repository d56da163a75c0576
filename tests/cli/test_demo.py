"""The demonstration: a page about a shipped network, opened where there is a screen."""

import sys
import webbrowser

import pytest

from srlongtail import cli
from srlongtail.cli import demo


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """The addresses that a browser was asked to open."""
    addresses: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: not addresses.append(address))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.chdir(tmp_path)
    return addresses


def test_page_of_a_shipped_network_is_written_and_opened(opened, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["srlongtail", "demo"])
    cli.main()
    assert opened == [(tmp_path / "srlongtail-demo.html").as_uri()]
    text = (tmp_path / "srlongtail-demo.html").read_text()
    assert "FSRCNN+FPL" in text
    assert "open srlongtail-demo.html" not in capsys.readouterr().err


@pytest.mark.parametrize("how", ["option", "no screen", "no browser"])
def test_path_is_told_where_no_page_opens(how, opened, monkeypatch, capsys):
    monkeypatch.setattr(demo, "analyze", lambda models, **options: None)
    if how == "no screen":
        monkeypatch.delenv("DISPLAY")
    if how == "no browser":
        monkeypatch.setattr(webbrowser, "open", lambda address: False)
    demo.demo(no_open=how == "option")
    assert opened == []
    assert "open srlongtail-demo.html in a browser" in capsys.readouterr().err
