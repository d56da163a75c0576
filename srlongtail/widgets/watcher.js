// Charts of a training run that grow with its log. An ES module for anywidget.
//
// The model has `name`, `message`, `iteration`, `iterations`, `loss`, points [iteration, loss],
// and `bands`, columns of the log with points [iteration, AD in levels].

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [420, 250];
const EDGE = { left: 52, right: 14, top: 12, bottom: 40 };
const BANDS = [
  ["validation_tail_ad_levels", "tail, validation", "srl-tail"],
  ["training_tail_ad_levels", "tail, training", "srl-tail srl-dashed"],
  ["validation_head_ad_levels", "head, validation", "srl-head"],
  ["training_head_ad_levels", "head, training", "srl-head srl-dashed"],
];

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

const svg = (tag, attributes, text = "") => {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
};

// Round numbers that divide a range into three to six parts.
const ticksOf = (low, high) => {
  const raw = (high - low) / 4 || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) =>
    Number(((first + i) * step).toPrecision(12)),
  );
};

const short = (value) => (value >= 1000 && value % 100 === 0 ? `${value / 1000}k` : `${value}`);

// One chart of lines [label, class, points]; the arrow keys and the pointer read its values.
class Chart {
  constructor(title, unit) {
    Object.assign(this, { title, unit, lines: [], at: null });
    this.node = document.createElement("figure");
    this.node.className = "srl-chart";
    this.drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", tabindex: 0 });
    this.caption = document.createElement("figcaption");
    this.key = document.createElement("div");
    this.key.className = "srl-key";
    const heading = document.createElement("div");
    heading.textContent = title;
    this.node.append(heading, this.key, this.drawing, this.caption);
    this.drawing.addEventListener("keydown", (event) => this.press(event));
    this.drawing.addEventListener("pointermove", (event) => this.point(event));
    this.drawing.addEventListener("pointerleave", () => this.read(null));
    this.drawing.addEventListener("blur", () => this.read(null));
  }

  get iterations() {
    return [...new Set(this.lines.flatMap(([, , points]) => points.map(([x]) => x)))].sort(
      (a, b) => a - b,
    );
  }

  show(lines, end) {
    this.lines = lines.filter(([, , points]) => points.length);
    this.end = Math.max(end, ...this.iterations, 1);
    const values = this.lines.flatMap(([, , points]) => points.map(([, y]) => y));
    this.high = Math.max(...values, 0) * 1.05 || 1;
    this.key.replaceChildren(
      ...lines.map(([label, kind]) => {
        const entry = document.createElement("span");
        entry.className = kind;
        entry.textContent = label;
        return entry;
      }),
    );
    this.draw();
  }

  x(iteration) {
    return EDGE.left + (iteration / this.end) * (WIDTH - EDGE.left - EDGE.right);
  }

  y(value) {
    return HEIGHT - EDGE.bottom - (value / this.high) * (HEIGHT - EDGE.top - EDGE.bottom);
  }

  draw() {
    const bottom = HEIGHT - EDGE.bottom;
    const parts = [];
    for (const tick of ticksOf(0, this.high)) {
      const y = this.y(tick);
      parts.push(
        svg("line", { class: "srl-grid", x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y, y2: y }),
      );
      parts.push(svg("text", { x: EDGE.left - 6, y: y + 4, "text-anchor": "end" }, `${tick}`));
    }
    for (const tick of ticksOf(0, this.end)) {
      parts.push(
        svg("text", { x: this.x(tick), y: bottom + 16, "text-anchor": "middle" }, short(tick)),
      );
    }
    const middle = (EDGE.left + WIDTH - EDGE.right) / 2;
    parts.push(svg("text", { x: middle, y: HEIGHT - 6, "text-anchor": "middle" }, "iteration"));
    for (const [, kind, points] of this.lines) {
      const places = points.map(([x, y]) => `${this.x(x).toFixed(1)},${this.y(y).toFixed(1)}`);
      if (points.length === 1) {
        const [x, y] = places[0].split(",");
        parts.push(svg("circle", { class: kind, cx: x, cy: y, r: 2.5 }));
      }
      parts.push(svg("polyline", { class: kind, points: places.join(" ") }));
    }
    if (this.at !== null) {
      const x = this.x(this.at);
      parts.push(svg("line", { class: "srl-cursor", x1: x, x2: x, y1: EDGE.top, y2: bottom }));
    }
    this.drawing.replaceChildren(...parts);
    const texts = this.lines.map(
      ([label, , points]) => `${label} ${points.at(-1)[1].toPrecision(4)}`,
    );
    const latest = texts.length ? `latest: ${texts.join(", ")}` : "no values yet";
    this.drawing.setAttribute("aria-label", `${this.title}; ${latest}. Arrow keys read values.`);
    this.caption.textContent = this.at === null ? "" : this.valuesAt(this.at);
  }

  valuesAt(iteration) {
    const texts = this.lines.flatMap(([label, , points]) => {
      const found = points.find(([x]) => x === iteration);
      return found ? [`${label} ${found[1].toPrecision(4)}`] : [];
    });
    return `iteration ${iteration}: ${texts.join(", ")}${this.unit}`;
  }

  read(iteration) {
    this.at = iteration;
    this.draw();
    // A screen reader hears what was asked for by keyboard, and not what a growing log changes.
    const asked = iteration !== null && document.activeElement === this.drawing;
    this.caption.setAttribute("aria-live", asked ? "polite" : "off");
  }

  press(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    const { iterations } = this;
    if (!step || !iterations.length) return;
    event.preventDefault();
    event.stopPropagation();
    const now = this.at === null ? iterations.length : iterations.indexOf(this.at);
    this.read(iterations[clamp(now + step, 0, iterations.length - 1)]);
  }

  point(event) {
    const place = this.drawing.getBoundingClientRect();
    const x = ((event.clientX - place.left) / place.width) * WIDTH;
    const { iterations } = this;
    if (!iterations.length) return;
    const distance = (iteration) => Math.abs(this.x(iteration) - x);
    this.read(iterations.reduce((a, b) => (distance(b) < distance(a) ? b : a)));
  }
}

export default {
  render({ model, el }) {
    const root = document.createElement("div");
    root.className = "srl-widget";
    // JupyterLab takes a key before the page does, unless what has the focus says otherwise.
    root.addEventListener("focusin", ({ target }) => {
      target.dataset.lmSuppressShortcuts = "true";
    });
    root.setAttribute("role", "group");
    const message = document.createElement("p");
    message.className = "srl-note";
    const progress = document.createElement("progress");
    progress.setAttribute("aria-label", "Progress of the run");
    const charts = document.createElement("div");
    charts.className = "srl-charts";
    const loss = new Chart("Loss", "");
    const bands = new Chart("Mean AD of head and tail, in levels of 255", " levels");
    charts.append(loss.node, bands.node);
    root.append(message, progress, charts);
    el.append(root);

    const draw = () => {
      const end = model.get("iterations");
      root.setAttribute("aria-label", `Training run ${model.get("name")}`);
      message.textContent = `${model.get("name")}: ${model.get("message")}`;
      Object.assign(progress, { max: end || 1, value: model.get("iteration") });
      const found = model.get("bands");
      loss.show([["loss", "srl-loss", model.get("loss")]], end);
      bands.show(
        BANDS.map(([column, label, kind]) => [label, kind, found[column] ?? []]),
        end,
      );
    };
    const names = ["name", "message", "iteration", "iterations", "loss", "bands"];
    for (const name of names) model.on(`change:${name}`, draw);
    draw();
    return () => {
      for (const name of names) model.off(`change:${name}`, draw);
      root.remove();
    };
  },
};
