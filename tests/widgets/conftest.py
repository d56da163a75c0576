"""A page with one widget in Chromium, and a model that stands in for anywidget's."""

import json
from importlib.resources import files
from typing import Any

import pytest

SHIM = """
const model = {
  values: VALUES, listeners: {}, sent: [], saved: 0,
  get(name) { return this.values[name]; },
  set(name, value) {
    if (this.values[name] === value) return;
    this.values[name] = value;
    for (const listener of this.listeners[`change:${name}`] ?? []) listener();
  },
  save_changes() { this.saved += 1; },
  on(event, listener) { (this.listeners[event] ??= []).push(listener); },
  off(event, listener) {
    this.listeners[event] = (this.listeners[event] ?? []).filter((other) => other !== listener);
  },
  send(message) { this.sent.push(message); },
};
const source = new Blob([SOURCE], { type: "text/javascript" });
import(URL.createObjectURL(source)).then(async ({ default: widget }) => {
  globalThis.model = model;
  globalThis.cleanup = await widget.render({ model, el: document.getElementById("here") });
  globalThis.ready = true;
});
"""


def page_of(script: str, values: dict[str, Any]) -> str:
    """A page that shows a widget: the name of its script, and what its model holds."""
    widgets = files("srlongtail") / "widgets"
    shim = SHIM.replace("VALUES", json.dumps(values).replace("</", "<\\/"))
    source = json.dumps((widgets / script).read_text("utf-8")).replace("</", "<\\/")
    style = (widgets / "style.css").read_text("utf-8")
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>widget</title>"
        "<meta name=viewport content='width=device-width'>"
        f"<style>:root {{ color-scheme: light dark }} body {{ margin: 8px }} {style}</style>"
        "<main><div id=here></div></main>"
        f"<script type=module>{shim.replace('SOURCE', source)}</script></html>"
    )


@pytest.fixture
def open_widget(chromium, tmp_path):
    """A function that shows a widget; in the end nothing may have failed or left the page."""
    problems: list[str] = []
    contexts = []

    def show(script: str, values: dict[str, Any], **options: Any) -> Any:
        file = tmp_path / "widget.html"
        file.write_text(page_of(script, values), "utf-8")
        context = chromium.new_context(**{"viewport": {"width": 1000, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda said: said.type == "error" and problems.append(said.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request",
            lambda sent: sent.url.startswith("http") and problems.append(sent.url),
        )
        page.goto(file.as_uri())
        page.wait_for_function("globalThis.ready")
        return page

    yield show
    for context in contexts:
        context.close()
    assert not problems
