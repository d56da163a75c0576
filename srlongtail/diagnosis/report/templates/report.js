"use strict";

// Tables: a button in each heading sorts, a field filters.
const value = (cell) => {
  const text = cell.textContent.trim();
  if (text === "∞") return Infinity;
  const number = Number(text.replace("%", ""));
  return text === "" || Number.isNaN(number) ? text : number;
};
const compare = (a, b) => {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (a === "" || b === "") return (a === "") - (b === "");
  return String(a).localeCompare(String(b), "en", { numeric: true });
};
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const ascending = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => {
        const order = compare(value(a.cells[column]), value(b.cells[column]));
        return ascending ? order : -order;
      });
      table.tBodies[0].append(...rows);
    });
  });
}
const filter = document.getElementById("filter");
const count = document.getElementById("filter-count");
const rows = [...document.getElementById("images").tBodies[0].rows];
filter.parentElement.hidden = false;
filter.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of rows) {
    const text = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
  const shown = rows.filter((row) => !row.hidden).length;
  count.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
});

const copy = document.getElementById("copy");
copy.parentElement.hidden = false;
copy.addEventListener("click", async () => {
  const markdown = document.getElementById("markdown");
  const copied = document.getElementById("copied");
  try {
    await navigator.clipboard.writeText(markdown.textContent);
    copied.textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(markdown);
    copied.textContent = "Selected: copy it with the keyboard.";
  }
});

// The viewer is a module in the manner of anywidget. Its images are those of the page, so that
// they are there once, and remain where no script runs.
class Model {
  constructor(values) {
    this.values = values;
    this.listeners = new Map();
  }
  get(name) {
    return this.values[name];
  }
  set(name, value) {
    if (this.values[name] === value) return;
    this.values[name] = value;
    for (const listener of this.listeners.get(`change:${name}`) ?? []) listener();
  }
  save_changes() {}
  on(event, listener) {
    this.listeners.set(event, [...(this.listeners.get(event) ?? []), listener]);
  }
  off(event, listener) {
    const kept = (this.listeners.get(event) ?? []).filter((other) => listener && other !== listener);
    this.listeners.set(event, kept);
  }
}
const showViewer = async (source) => {
  const images = JSON.parse(document.getElementById("viewed").textContent);
  const stills = document.getElementById("stills");
  [...stills.querySelectorAll("details")].forEach((still, index) => {
    [...still.querySelectorAll("img")].forEach((image, layer) => {
      images[index].layers[layer].url = image.getAttribute("src");
    });
  });
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const { default: viewer } = await import(address);
  URL.revokeObjectURL(address);
  const model = new Model({ images, index: 0, window: null });
  const place = document.getElementById("viewer");
  await viewer.render({ model, el: place });
  stills.hidden = true;
  for (const button of document.querySelectorAll("button[data-window]")) {
    const index = images.findIndex(
      (image) => image.dataset === button.dataset.dataset && image.name === button.dataset.image,
    );
    if (index < 0) continue;
    button.parentElement.hidden = false;
    button.addEventListener("click", () => {
      const [row, column, size] = button.dataset.window.split(" ").map(Number);
      model.set("index", index);
      model.set("window", { row, column, size });
      document.getElementById("see").scrollIntoView();
      place.querySelector("button, [tabindex='0']")?.focus({ preventScroll: true });
    });
  }
};
const viewerSource = JSON.parse(document.getElementById("viewer-script").textContent);
if (viewerSource && document.querySelector("#stills details")) showViewer(viewerSource);
