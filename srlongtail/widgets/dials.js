// Dials for the focal weights; Python computes the maps. An ES module for anywidget.
//
// The model has the dials `alpha_sp`, `gamma_sp`, `alpha_lp`, `gamma_lp`, `scope`, `static` and
// `learnable`, which this script changes; `patches`, images as data: URIs; `maps`, one {url, low,
// mean, high} for each patch, which Python changes; and `legend`, {url, low, high}.

const SLIDERS = {
  alpha_sp: ["alpha, static", 0.1, 2],
  gamma_sp: ["gamma, static", 0, 3],
  alpha_lp: ["alpha, learnable", 0.1, 2],
  gamma_lp: ["gamma, learnable", 0, 3],
};
const STEP = 0.1;
const LONGEST_WAIT_MS = 2000; // for maps, before the next change is sent all the same

const PARTS = `
  <div class="srl-dials" role="group" aria-label="Dials">
    <label class="srl-check"><input type="checkbox" data-dial="static"> static weight</label>
    <label class="srl-check"><input type="checkbox" data-dial="learnable"> learnable weight</label>
    <label>scope <select data-dial="scope">
      <option value="batch">batch: all patches share one scale</option>
      <option value="image">image: each patch has its own</option>
    </select></label>
  </div>
  <div class="srl-maps"></div>
  <div class="srl-legend"><span>weight</span> <span data-end="low"></span>
    <img class="srl-colors" alt="Color scale of the weight, logarithmic">
    <span data-end="high"></span>
  </div>
  <div class="srl-status" role="status" aria-live="polite"></div>`;

class Dials {
  constructor(model, el) {
    this.model = model;
    this.root = document.createElement("div");
    this.root.className = "srl-widget";
    // JupyterLab takes a key before the page does, unless what has the focus says otherwise.
    this.root.addEventListener("focusin", ({ target }) => {
      target.dataset.lmSuppressShortcuts = "true";
    });
    this.root.innerHTML = PARTS;
    const find = (selector) => this.root.querySelector(selector);
    this.status = find(".srl-status");
    find(".srl-dials").prepend(
      ...Object.entries(SLIDERS).map(([name, facts]) => this.slider(name, ...facts)),
    );
    this.dials = [...this.root.querySelectorAll("[data-dial]")];
    const { url, low, high } = model.get("legend");
    find(".srl-legend img").src = url;
    find('[data-end="low"]').textContent = `\u2264 ${low}`;
    find('[data-end="high"]').textContent = `\u2265 ${high}`;
    this.figures = model.get("patches").map((patch, number) => this.figure(patch, number));
    find(".srl-maps").append(...this.figures);
    for (const dial of this.dials) {
      dial.addEventListener(dial.type === "range" ? "input" : "change", () => this.turn(dial));
    }
    el.append(this.root);
    this.follow = () => this.draw();
    this.names = ["maps", ...this.dials.map((dial) => dial.dataset.dial)];
    for (const name of this.names) model.on(`change:${name}`, this.follow);
    this.draw();
  }

  end() {
    for (const name of this.names) this.model.off(`change:${name}`, this.follow);
    clearTimeout(this.waiting);
    clearTimeout(this.speaking);
    this.root.remove();
  }

  slider(name, label, min, max) {
    const whole = document.createElement("label");
    whole.innerHTML = `<span></span><input type="range" data-dial="${name}"><output></output>`;
    whole.firstChild.textContent = label;
    Object.assign(whole.children[1], { min, max, step: STEP });
    return whole;
  }

  figure(patch, number) {
    const figure = document.createElement("figure");
    figure.innerHTML = "<img><img><figcaption></figcaption>";
    Object.assign(figure.children[0], { src: patch, alt: `HR patch ${number + 1}` });
    return figure;
  }

  // One change at a time is under way: the next waits for the maps of the last.
  turn(dial) {
    const { dial: name } = dial.dataset;
    const value = { range: Number(dial.value), checkbox: dial.checked }[dial.type] ?? dial.value;
    this.next = { ...this.next, [name]: value };
    const output = dial.parentElement.querySelector("output");
    if (output) output.textContent = value.toFixed(1);
    if (!this.waiting) this.send();
  }

  send() {
    clearTimeout(this.waiting);
    this.waiting = null;
    if (!this.next) return;
    const changes = this.next;
    this.next = null;
    this.waiting = setTimeout(() => this.send(), LONGEST_WAIT_MS);
    for (const [name, value] of Object.entries(changes)) this.model.set(name, value);
    this.model.save_changes();
  }

  draw() {
    for (const dial of this.dials) {
      const { dial: name } = dial.dataset;
      if (this.next && name in this.next) continue;
      const value = this.model.get(name);
      if (dial.type === "checkbox") dial.checked = value;
      else dial.value = value;
      const output = dial.parentElement.querySelector("output");
      if (output) output.textContent = value.toFixed(1);
    }
    const maps = this.model.get("maps");
    if (maps === this.maps) return;
    this.maps = maps;
    const texts = maps.map(({ url, low, mean, high }, number) => {
      const [, map, caption] = this.figures[number].children;
      const text = `weights ${low.toFixed(2)} to ${high.toFixed(2)}, mean ${mean.toFixed(2)}`;
      Object.assign(map, { src: url, alt: `Weight map ${number + 1}: ${text}` });
      caption.textContent = text;
      return `patch ${number + 1}: ${text}`;
    });
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => {
      this.status.textContent = texts.join("; ");
    }, 700);
    this.send();
  }
}

export default {
  render({ model, el }) {
    const dials = new Dials(model, el);
    return () => dials.end();
  },
};
