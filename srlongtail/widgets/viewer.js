// Compares SR images with HR pixel by pixel. An ES module for anywidget and for the report's page.
//
// The model has `images`, a list of {name, dataset, height, width, row, column, scale, layers:
// [{name, kind: "hr" | "bicubic" | "network", url}], tenth, windows: [{label, row, column, size,
// percentile}]}; `index`, the image shown; and `window`, {row, column, size} or null. A url is a
// lossless PNG or WebP as a data: URI; (row, column) is where what is shown begins in the whole
// image; windows are in SR pixels of the whole image; `tenth` is a gray image of 1 to 10.

// matplotlib's viridis, the package's map for AD.
const VIRIDIS = (
  "44015444025544035745055845065a45085b46095c460b5e460c5f460e61470f62471163471265471466471567" +
  "47166947186a48196b481a6c481c6e481d6f481e70482071482172482273482374472575472676472777472878" +
  "472a79472b7a472c7b462d7c462f7c46307d46317e45327f45347f453580453681443781443982433a83433b83" +
  "433c84423d84423e854240854141864142864043874044873f45873f47883e48883e49893d4a893d4b893d4c89" +
  "3c4d8a3c4e8a3b508a3b518a3a528b3a538b39548b39558b38568b38578c37588c37598c365a8c365b8c355c8c" +
  "355d8c345e8d345f8d33608d33618d32628d32638d31648d31658d31668d30678d30688d2f698d2f6a8d2e6b8e" +
  "2e6c8e2e6d8e2d6e8e2d6f8e2c708e2c718e2c728e2b738e2b748e2a758e2a768e2a778e29788e29798e287a8e" +
  "287a8e287b8e277c8e277d8e277e8e267f8e26808e26818e25828e25838d24848d24858d24868d23878d23888d" +
  "23898d22898d228a8d228b8d218c8d218d8c218e8c208f8c20908c20918c1f928c1f938b1f948b1f958b1f968b" +
  "1e978a1e988a1e998a1e998a1e9a891e9b891e9c891e9d881e9e881e9f881ea0871fa1871fa2861fa38620a485" +
  "20a58521a68521a78422a78423a88323a98224aa8225ab8126ac8127ad8028ae7f29af7f2ab07e2bb17d2cb17d" +
  "2eb27c2fb37b30b47a32b57a33b67935b77836b87738b97639b9763bba753dbb743ebc7340bd7242be7144be70" +
  "45bf6f47c06e49c16d4bc26c4dc26b4fc36951c46853c56755c66657c66559c7645bc8625ec96160c96062ca5f" +
  "64cb5d67cc5c69cc5b6bcd596dce5870ce5672cf5574d05477d05279d1517cd24f7ed24e81d34c83d34b86d449" +
  "88d5478bd5468dd64490d64392d74195d73f97d83e9ad83c9dd93a9fd938a2da37a5da35a7db33aadb32addc30" +
  "afdc2eb2dd2cb5dd2bb7dd29bade27bdde26bfdf24c2df22c5df21c7e01fcae01ecde01dcfe11cd2e11bd4e11a" +
  "d7e219dae218dce218dfe318e1e318e4e318e7e419e9e419ece41aeee51bf1e51cf3e51ef6e61ff8e621fae622" +
  "fde724"
)
  .match(/../g)
  .map((byte) => parseInt(byte, 16));

const MAX_AD = 219; // luma runs from 16 to 235
const SCALE_TOPS = [5, 10, 20, 40, 80, 160, MAX_AD];
const ZOOMS = [
  1 / 8,
  1 / 6,
  1 / 5,
  1 / 4,
  1 / 3,
  1 / 2,
  1,
  2,
  3,
  4,
  5,
  6,
  8,
  10,
  12,
  16,
  24,
  32,
  48,
];
const CLICK_PX = 4; // a pointer that moved less has clicked
const MODES = { toggle: "Toggle", swipe: "Swipe", side: "Side by side" };
const HELP = [
  ["1, 2, 3 ...", "show HR or what a model made of it"],
  ["Shift + 2, 3 ...", "show the AD map of a model"],
  ["D", "switch between images and AD maps"],
  ["X", "back to what was shown before; in Swipe, exchange left and right"],
  ["T, S, B", "Toggle (one at a time), Swipe, Side by side"],
  ["arrow keys", "move the pixel cursor; with Shift, move the view"],
  ["+, -, 0", "zoom in, zoom out, show all; or Ctrl + wheel, double click, pinch"],
  ["W, Shift + W", "next and previous window; or click on one"],
  ["[, ]", "previous and next image"],
];

const isSameView = (a, b) => a.layer === b.layer && a.ad === b.ad;
const isSameWindow = (a, b) =>
  a && b && a.row === b.row && a.column === b.column && a.size === b.size;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

const h = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
};

const decode = async (url) => {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
};

const canvasOf = (width, height) =>
  Object.assign(document.createElement("canvas"), { width, height });

const pixelsOf = (image) => {
  const canvas = canvasOf(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height).data;
};

// Some browsers alter what a script reads from a canvas, against tracking.
const readsTrueValues = () => {
  const context = canvasOf(64, 64).getContext("2d", { willReadFrequently: true });
  const drawn = context.createImageData(64, 64);
  drawn.data.forEach((_, index, data) => {
    data[index] = index % 4 === 3 ? 255 : (index * 7919) >> 3;
  });
  context.putImageData(drawn, 0, 0);
  const read = context.getImageData(0, 0, 64, 64).data;
  return read.every((value, index) => value === drawn.data[index]);
};

// AD in levels, as `srlongtail.absolute_difference`: BT.601 luma from 16 to 235, not rounded.
export const absoluteDifference = (a, b) => {
  const ad = new Float32Array(a.length / 4);
  for (let pixel = 0, byte = 0; pixel < ad.length; pixel += 1, byte += 4) {
    const red = 65.481 * (a[byte] - b[byte]);
    const green = 128.553 * (a[byte + 1] - b[byte + 1]);
    ad[pixel] = Math.abs(red + green + 24.966 * (a[byte + 2] - b[byte + 2])) / 255;
  }
  return ad;
};

const colored = (values, width, height, top) => {
  const canvas = canvasOf(width, height);
  const context = canvas.getContext("2d");
  const drawn = context.createImageData(width, height);
  values.forEach((value, pixel) => {
    const entry = 3 * Math.min(255, Math.floor((256 * value) / top));
    for (let channel = 0; channel < 3; channel += 1) {
      drawn.data[4 * pixel + channel] = VIRIDIS[entry + channel];
    }
    drawn.data[4 * pixel + 3] = 255;
  });
  context.putImageData(drawn, 0, 0);
  return canvas;
};

const quantile = (values, share) => {
  const counts = new Uint32Array(4 * MAX_AD + 1);
  for (const value of values) counts[Math.floor(4 * value)] += 1;
  let bin = 0;
  for (let below = counts[0]; below < share * values.length; below += counts[bin]) bin += 1;
  return (bin + 1) / 4;
};

// One image, decoded: HR and its restored versions, their pixels and AD maps.
class Picture {
  static async open(facts) {
    const sources = await Promise.all(facts.layers.map((layer) => decode(layer.url)));
    const tenth = facts.tenth ? pixelsOf(await decode(facts.tenth)) : null;
    return new Picture(facts, sources, tenth);
  }

  constructor(facts, sources, tenth) {
    const { naturalWidth, naturalHeight } = sources[0];
    Object.assign(this, {
      facts,
      sources,
      tenths: tenth,
      width: naturalWidth,
      height: naturalHeight,
    });
    this.pixels = sources.map(pixelsOf);
    this.hr = facts.layers.findIndex((layer) => layer.kind === "hr");
    this.maps = this.pixels.map((pixels, layer) =>
      this.hr < 0 || layer === this.hr ? null : absoluteDifference(pixels, this.pixels[this.hr]),
    );
    this.drawnMaps = new Map();
  }

  // The same color scale for all maps: it holds all but the largest 0.5% of bicubic's AD.
  get usualTop() {
    const bicubic = this.facts.layers.findIndex((layer) => layer.kind === "bicubic");
    const map = this.maps[bicubic] ?? this.maps.find(Boolean);
    return SCALE_TOPS.find((top) => map && top >= quantile(map, 0.995)) ?? MAX_AD;
  }

  drawable(view, top) {
    if (!view.ad) return this.sources[view.layer];
    const key = `${view.layer} ${top}`;
    if (!this.drawnMaps.has(key)) {
      this.drawnMaps.set(key, colored(this.maps[view.layer], this.width, this.height, top));
    }
    return this.drawnMaps.get(key);
  }

  at(row, column) {
    const pixel = row * this.width + column;
    return {
      tenth: this.tenths?.[4 * pixel],
      layers: this.pixels.map((pixels, layer) => ({
        rgb: [...pixels.subarray(4 * pixel, 4 * pixel + 3)],
        ad: this.maps[layer]?.[pixel],
      })),
    };
  }
}

// What part of an image all panes show; lengths are in screen (device) pixels.
class Camera {
  constructor() {
    Object.assign(this, {
      zoom: 1,
      row: 0,
      column: 0,
      pane: [1, 1],
      image: [1, 1],
      showsAll: true,
    });
  }

  resize(pane, image) {
    Object.assign(this, { pane, image });
    if (this.showsAll) this.showAll();
    else this.moveTo(this.row, this.column);
  }

  largestZoom(height, width) {
    const room = Math.min(this.pane[0] / height, this.pane[1] / width);
    return ZOOMS.findLast((zoom) => zoom <= room) ?? ZOOMS[0];
  }

  showAll() {
    this.zoom = this.largestZoom(...this.image);
    this.moveTo(this.image[0] / 2, this.image[1] / 2);
    this.showsAll = true;
  }

  // Puts a point of the image into the middle, as far as the edges of the image allow it.
  moveTo(row, column) {
    [this.row, this.column] = [row, column].map((center, axis) => {
      const half = this.pane[axis] / 2 / this.zoom;
      const size = this.image[axis];
      return size <= 2 * half ? size / 2 : clamp(center, half, size - half);
    });
    this.showsAll = false;
  }

  // The point of the image under (x, y) stays there.
  zoomTo(zoom, x = this.pane[1] / 2, y = this.pane[0] / 2) {
    const [row, column] = this.pointAt(x, y);
    this.zoom = zoom;
    this.moveTo(row + (this.pane[0] / 2 - y) / zoom, column + (this.pane[1] / 2 - x) / zoom);
  }

  step(steps, x, y) {
    this.zoomTo(ZOOMS[clamp(ZOOMS.indexOf(this.zoom) + steps, 0, ZOOMS.length - 1)], x, y);
  }

  get origin() {
    return [this.row, this.column].map((center, axis) =>
      Math.round(this.pane[axis] / 2 - center * this.zoom),
    );
  }

  pointAt(x, y) {
    const [top, left] = this.origin;
    return [(y - top) / this.zoom, (x - left) / this.zoom];
  }

  // Moves no more than it takes to see a pixel, with a margin.
  reveal(row, column) {
    const [y, x] = [row, column].map((place, axis) => {
      const half = this.pane[axis] / 2 / this.zoom;
      const margin = Math.min(half, 24 / this.zoom + 1);
      const center = axis ? this.column : this.row;
      return clamp(center, place + 1 - half + margin, place + half - margin);
    });
    if (y !== this.row || x !== this.column) this.moveTo(y, x);
  }
}

class Viewer {
  constructor(model, el) {
    this.model = model;
    this.camera = new Camera();
    this.mode = "toggle";
    this.cursor = null; // [row, column] in what is shown
    this.split = 0.5;
    this.pointers = new Map();
    this.end = new AbortController();
    this.build(el);
    const listeners = {
      "change:images": () => this.open(),
      "change:index": () => this.open(),
      "change:window": () => this.picture && !this.opening && this.followWindow(),
    };
    for (const [event, listener] of Object.entries(listeners)) model.on(event, listener);
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.stage);
    this.end.signal.addEventListener("abort", () => {
      for (const [event, listener] of Object.entries(listeners)) model.off(event, listener);
      this.sizes.disconnect();
      cancelAnimationFrame(this.frame);
      clearTimeout(this.waiting);
      clearTimeout(this.hinting);
      this.root.remove();
    });
    this.open();
  }

  // --- the parts of the page ---

  build(el) {
    const button = (label, act, attributes = {}) =>
      h("button", { type: "button", onclick: act, ...attributes }, label);
    this.select = h("select", { onchange: () => this.choose(Number(this.select.value)) });
    this.modes = Object.entries(MODES).map(([mode, label]) =>
      button(label, () => this.setMode(mode), {
        "data-mode": mode,
        "aria-keyshortcuts": { toggle: "T", swipe: "S", side: "B" }[mode],
      }),
    );
    this.zoomed = h("output", { class: "srl-zoom" });
    const zoom = [
      button("\u2212", () => this.zoom(-1), { "aria-label": "Zoom out" }),
      this.zoomed,
      button("+", () => this.zoom(1), { "aria-label": "Zoom in" }),
      button("All", () => this.showAll(), { "aria-label": "Show all of the image" }),
    ];
    this.views = h("div", { class: "srl-views" });
    this.divider = h("div", {
      class: "srl-divider",
      role: "slider",
      tabindex: 0,
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      "aria-orientation": "horizontal",
      hidden: true,
    });
    this.hint = h("div", { class: "srl-hint", "aria-hidden": "true", hidden: true });
    this.panes = h("div", { class: "srl-panes" });
    this.stage = h(
      "div",
      {
        class: "srl-stage",
        role: "application",
        tabindex: 0,
        "aria-roledescription": "image viewer",
      },
      this.panes,
      this.hint,
    );
    this.top = h(
      "select",
      { "aria-label": "Largest AD of the color scale", onchange: () => this.draw() },
      ...SCALE_TOPS.map((top) => h("option", { value: top }, String(top))),
    );
    const bar = h("canvas", {
      class: "srl-colors",
      width: 256,
      height: 1,
      role: "img",
      "aria-label": "Color scale of AD",
    });
    bar.getContext("2d").drawImage(
      colored(
        Float32Array.from({ length: 256 }, (_, i) => i),
        256,
        1,
        256,
      ),
      0,
      0,
    );
    this.legend = h(
      "div",
      { class: "srl-legend" },
      h("span", {}, "AD (levels of 255): 0"),
      bar,
      h("span", {}, "\u2265"),
      this.top,
    );
    this.readout = h("table", { class: "srl-readout" });
    this.windows = h("div", { class: "srl-windows", role: "group", "aria-label": "Windows" });
    this.help = h(
      "details",
      { class: "srl-help" },
      h("summary", {}, "Keys and gestures"),
      h(
        "dl",
        {},
        ...HELP.map(([keys, what]) => h("div", {}, h("dt", {}, keys), h("dd", {}, what))),
      ),
    );
    this.status = h("div", { class: "srl-status", role: "status", "aria-live": "polite" });
    this.notice = h("p", { class: "srl-notice", role: "alert", hidden: true });
    this.root = h(
      "div",
      {
        class: "srl-widget srl-viewer",
        role: "group",
        "aria-label": "Comparison of images",
      },
      h(
        "div",
        { class: "srl-bar" },
        (this.chooser = h("label", {}, "Image ", this.select)),
        h("div", { class: "srl-group", role: "group", "aria-label": "Arrangement" }, ...this.modes),
        h("div", { class: "srl-group", role: "group", "aria-label": "Zoom" }, ...zoom),
      ),
      this.views,
      this.notice,
      this.stage,
      this.legend,
      h(
        "div",
        { class: "srl-below" },
        h("div", { class: "srl-scroll" }, this.readout),
        this.windows,
      ),
      this.help,
      this.status,
    );
    el.append(this.root);
    this.listen();
    if (!readsTrueValues()) {
      this.tell(
        "This browser alters pixels that a script reads (a protection against tracking): values " +
          "and AD maps may be wrong. Allow this page to read canvas data.",
      );
    }
  }

  tell(problem) {
    this.notice.textContent = problem;
    this.notice.hidden = false;
  }

  // Says something to screen readers, once nothing newer has come for a moment.
  announce(text) {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      this.status.textContent = text;
    }, 500);
  }

  // --- images, views and windows ---

  async open() {
    const images = this.model.get("images");
    const index = this.model.get("index") ?? 0;
    this.fillChooser(images, index);
    if (!images[index]) return;
    const opening = (this.opening = {});
    let picture;
    try {
      picture = await Picture.open(images[index]);
    } catch (error) {
      if (opening === this.opening && !this.end.signal.aborted) {
        this.opening = null;
        this.tell(`${images[index].name}: this image cannot be read (${error.message}).`);
      }
      return;
    }
    if (opening !== this.opening || this.end.signal.aborted) return;
    this.opening = null;
    const names = picture.facts.layers.map((layer) => layer.name).join("\n");
    if (names !== this.names) this.startViews(picture);
    Object.assign(this, { picture, names, cursor: null });
    this.top.value = picture.usualTop;
    this.camera.showsAll = true;
    this.fillReadout();
    this.fillWindows();
    this.arrange();
    if (this.model.get("window") !== this.followed) this.followWindow();
    this.announce(`${picture.facts.name}: ${this.nameOf(this.shown[0])}`);
  }

  fillChooser(images, index) {
    const options = images.map((image, number) => {
      const whole = image.dataset ? `${image.name} (${image.dataset})` : image.name;
      return h("option", { value: number }, whole);
    });
    this.select.replaceChildren(...options);
    this.select.value = index;
    this.chooser.hidden = images.length < 2;
  }

  choose(index) {
    if (!this.model.get("images")[index]) return;
    this.model.set("index", index);
    this.model.save_changes();
  }

  startViews(picture) {
    const layers = picture.facts.layers.map((_, layer) => ({ layer, ad: false }));
    const networks = layers.filter(({ layer }) => picture.facts.layers[layer].kind === "network");
    const first = networks[0] ?? layers.at(-1);
    this.one = first;
    this.before = layers[0];
    this.two = networks.length > 1 ? networks.slice(0, 2) : [layers[0], first];
    this.many = layers.slice(0, 4);
  }

  // All that can be shown: images, then AD maps.
  get choices() {
    const images = this.picture.facts.layers.map((_, layer) => ({ layer, ad: false }));
    return [
      ...images,
      ...images
        .filter(({ layer }) => this.picture.maps[layer])
        .map(({ layer }) => ({ layer, ad: true })),
    ];
  }

  get shown() {
    return { toggle: [this.one], swipe: this.two, side: this.many }[this.mode];
  }

  nameOf({ layer, ad }) {
    const { name } = this.picture.facts.layers[layer];
    return ad ? `AD of ${name}` : name;
  }

  isShown(view) {
    return this.shown.some((other) => isSameView(other, view));
  }

  setMode(mode) {
    this.mode = mode;
    if (this.picture) this.arrange();
    this.announce(MODES[mode]);
  }

  pick(view) {
    if (view.ad && !this.picture.maps[view.layer]) return;
    if (this.mode === "toggle") {
      if (!this.isShown(view)) [this.before, this.one] = [this.one, view];
    } else if (this.mode === "swipe") {
      this.two = [this.two[0], view];
    } else if (!this.isShown(view)) {
      this.many = this.choices.filter((choice) => this.isShown(choice) || isSameView(choice, view));
    } else if (this.many.length > 1) {
      this.many = this.many.filter((other) => !isSameView(other, view));
    }
    this.arrange();
    this.announce(this.shown.map((other) => this.nameOf(other)).join(", "));
  }

  switchMaps() {
    const ad = !this.shown.some((view) => view.ad);
    const switched = ({ layer }) => ({ layer, ad: ad && Boolean(this.picture.maps[layer]) });
    if (this.mode === "toggle") this.one = switched(this.one);
    else if (this.mode === "swipe") this.two = this.two.map(switched);
    else this.many = this.many.map(switched);
    this.arrange();
    this.announce(this.shown.map((view) => this.nameOf(view)).join(", "));
  }

  goBack() {
    if (this.mode === "toggle") [this.one, this.before] = [this.before, this.one];
    if (this.mode === "swipe") this.two = [this.two[1], this.two[0]];
    this.arrange();
    this.announce(this.shown.map((view) => this.nameOf(view)).join(", "));
  }

  // Windows in pixels of what is shown; those outside of it are left out.
  get places() {
    const { row, column, windows = [] } = this.picture.facts;
    const { height, width } = this.picture;
    return windows
      .map((window) => ({ ...window, top: window.row - row, left: window.column - column }))
      .filter(
        ({ top, left, size }) => top < height && left < width && top + size > 0 && left + size > 0,
      );
  }

  goToWindow({ row, column, size }) {
    this.model.set("window", { row, column, size });
    this.model.save_changes();
    this.followWindow();
  }

  followWindow() {
    const window = (this.followed = this.model.get("window"));
    if (!window) {
      this.fillWindows();
      this.draw();
      return;
    }
    const { facts, height, width } = this.picture;
    const [top, left] = [window.row - facts.row, window.column - facts.column];
    this.fillWindows();
    if (top >= height || left >= width || top + window.size <= 0 || left + window.size <= 0) {
      this.announce("This window lies outside of the part of the image that is shown");
      return;
    }
    const { size } = window;
    this.camera.zoom = Math.max(1, this.camera.largestZoom(1.25 * size, 1.25 * size));
    this.camera.moveTo(top + size / 2, left + size / 2);
    this.draw();
    const known = this.places.find((place) => isSameWindow(place, window));
    const where = `window at row ${window.row}, column ${window.column}, ${size} pixels`;
    this.announce(known ? `${known.label}: ${where}` : where);
  }

  stepWindow(steps) {
    const { places, followed } = this;
    if (!places.length) return;
    const now = places.findIndex((place) => isSameWindow(place, followed));
    const start = now < 0 && steps < 0 ? 0 : now;
    this.goToWindow(places[(start + steps + places.length) % places.length]);
  }

  // --- what surrounds the pictures ---

  arrange() {
    for (const button of this.modes)
      button.setAttribute("aria-pressed", button.dataset.mode === this.mode);
    this.fillViews();
    const groups = this.mode === "swipe" ? [this.two] : this.shown.map((view) => [view]);
    while (this.panes.children.length > groups.length) this.panes.lastChild.remove();
    while (this.panes.children.length < groups.length) {
      this.panes.append(
        h(
          "div",
          { class: "srl-pane" },
          h("canvas"),
          h("span", { class: "srl-name" }),
          h("span", { class: "srl-name srl-right", hidden: true }),
        ),
      );
    }
    [...this.panes.children].forEach((pane, number) => {
      const [, left, right] = pane.children;
      left.textContent = this.nameOf(groups[number][0]);
      right.hidden = groups[number].length < 2;
      right.textContent = right.hidden ? "" : this.nameOf(groups[number][1]);
    });
    Object.assign(this.panes.dataset, { count: groups.length, mode: this.mode });
    this.divider.hidden = this.mode !== "swipe";
    if (!this.divider.hidden) this.panes.firstChild.append(this.divider);
    else this.divider.remove();
    this.stage.setAttribute(
      "aria-label",
      `${this.picture.facts.name}: ${this.shown.map((view) => this.nameOf(view)).join(", ")}`,
    );
    this.divider.setAttribute(
      "aria-label",
      `Divider between ${this.nameOf(this.two[0])} and ${this.nameOf(this.two[1])}`,
    );
    this.readout.querySelectorAll("tbody tr").forEach((row, layer) => {
      row.classList.toggle(
        "srl-on",
        this.shown.some((view) => view.layer === layer),
      );
    });
    this.legend.classList.toggle("srl-idle", !this.shown.some((view) => view.ad));
    this.resize();
  }

  fillViews() {
    const chip = (view) => {
      const key = view.layer < 9 ? `${view.ad ? "Shift+" : ""}${view.layer + 1}` : null;
      const name = this.picture.facts.layers[view.layer].name;
      return h(
        "button",
        {
          type: "button",
          "data-view": `${view.layer}${view.ad ? " ad" : ""}`,
          "aria-pressed": String(this.isShown(view)),
          "aria-keyshortcuts": key,
          "aria-label": this.nameOf(view),
          // Drawn by the style sheet, since the name of a button must hold all of its text.
          "data-key": key?.replace("Shift+", "\u21e7") ?? null,
          onclick: () => this.pick(view),
        },
        name,
      );
    };
    const choice = (label, side) => {
      const select = h(
        "select",
        {
          onchange: () => {
            this.two = this.two.with(side, this.choices[Number(select.value)]);
            this.arrange();
          },
        },
        ...this.choices.map((view, number) => h("option", { value: number }, this.nameOf(view))),
      );
      select.value = this.choices.findIndex((view) => isSameView(view, this.two[side]));
      return h("label", {}, `${label} `, select);
    };
    const focused =
      this.views.contains(document.activeElement) && document.activeElement.dataset.view;
    if (this.mode === "swipe") {
      const focusedSide = [...this.views.querySelectorAll("select")].indexOf(
        document.activeElement,
      );
      this.views.replaceChildren(
        choice("Left", 0),
        choice("Right", 1),
        h(
          "button",
          { type: "button", "aria-keyshortcuts": "X", onclick: () => this.goBack() },
          "Exchange",
        ),
      );
      this.views.querySelectorAll("select")[focusedSide]?.focus();
      return;
    }
    const [images, maps] = [false, true].map((ad) => this.choices.filter((view) => view.ad === ad));
    this.views.replaceChildren(
      h(
        "div",
        { class: "srl-chips", role: "group", "aria-label": "Images" },
        h("span", {}, "Image"),
        ...images.map(chip),
      ),
      ...(maps.length
        ? [
            h(
              "div",
              { class: "srl-chips", role: "group", "aria-label": "AD maps" },
              h("span", {}, "AD map"),
              ...maps.map(chip),
            ),
          ]
        : []),
    );
    if (focused) this.views.querySelector(`[data-view="${focused}"]`)?.focus();
  }

  fillReadout() {
    const { layers } = this.picture.facts;
    const cell = (name) => h("td", { class: name }, "");
    this.place = h("caption", {}, "Point at a pixel, or move the cursor with the arrow keys.");
    this.readout.replaceChildren(
      this.place,
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          ...["Pixel", "R", "G", "B", "AD"].map((title, column) =>
            h("th", { scope: "col", class: column ? "srl-number" : null }, title),
          ),
        ),
      ),
      h(
        "tbody",
        {},
        ...layers.map((layer) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, h("span", { class: "srl-swatch" }), layer.name),
            cell("srl-number"),
            cell("srl-number"),
            cell("srl-number"),
            cell("srl-number"),
          ),
        ),
      ),
    );
  }

  fillWindows() {
    const buttons = this.places.map((place) => {
      const where = `row ${place.row}, column ${place.column}, ${place.size} px`;
      const rank =
        place.percentile == null
          ? ""
          : `, above ${(Math.floor(10 * place.percentile) / 10).toFixed(1)}% of windows`;
      return h(
        "button",
        {
          type: "button",
          "aria-pressed": String(Boolean(isSameWindow(place, this.followed))),
          onclick: () => this.goToWindow(place),
        },
        h("strong", {}, place.label),
        h("span", {}, where + rank),
      );
    });
    const focused = [...this.windows.querySelectorAll("button")].indexOf(document.activeElement);
    this.windows.replaceChildren(...buttons);
    this.windows.hidden = !buttons.length;
    buttons[focused]?.focus();
  }

  read() {
    if (!this.cursor) return "";
    const [row, column] = this.cursor;
    const { facts } = this.picture;
    const found = this.picture.at(row, column);
    const place = `row ${row + facts.row}, column ${column + facts.column}`;
    const tenth = found.tenth ? `, tenth ${found.tenth} of 10 by gradient` : "";
    this.place.textContent = place + tenth;
    this.readout.querySelectorAll("tbody tr").forEach((line, layer) => {
      const { rgb, ad } = found.layers[layer];
      line.querySelector(".srl-swatch").style.background = `rgb(${rgb.join(" ")})`;
      const texts = [...rgb, ad == null ? "" : ad.toFixed(2)];
      [...line.querySelectorAll("td")].forEach((cell, number) => {
        cell.textContent = texts[number];
      });
    });
    const values = found.layers.map(
      ({ rgb, ad }, layer) =>
        `${facts.layers[layer].name} ${rgb.join(" ")}${ad == null ? "" : `, AD ${ad.toFixed(1)}`}`,
    );
    return `${place}${tenth}: ${values.join("; ")}`;
  }

  // --- drawing ---

  resize() {
    const pane = this.panes.firstChild;
    if (!pane || !this.picture) return;
    const ratio = window.devicePixelRatio || 1;
    // Screen pixels, whole: a pixel of the image is `zoom` x `zoom` of them.
    const size = [pane.clientHeight, pane.clientWidth].map((length) =>
      Math.max(1, Math.round(length * ratio)),
    );
    this.camera.resize(size, [this.picture.height, this.picture.width]);
    this.draw();
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.drawNow());
  }

  drawNow() {
    if (!this.picture) return;
    const { camera } = this;
    const [height, width] = camera.pane;
    const edge = Math.round(this.split * width);
    const ratio = window.devicePixelRatio || 1;
    [...this.panes.children].forEach((pane, number) => {
      const canvas = pane.firstChild;
      if (canvas.width !== width || canvas.height !== height)
        Object.assign(canvas, { width, height });
      Object.assign(canvas.style, { width: `${width / ratio}px`, height: `${height / ratio}px` });
      const context = canvas.getContext("2d");
      context.clearRect(0, 0, width, height);
      if (this.mode === "swipe") {
        this.drawView(context, this.two[0], 0, edge);
        this.drawView(context, this.two[1], edge, width);
      } else {
        this.drawView(context, this.shown[number], 0, width);
      }
      this.drawMarks(context);
    });
    this.divider.style.left = `${edge / ratio}px`;
    this.divider.setAttribute("aria-valuenow", Math.round(100 * this.split));
    const { zoom } = camera;
    this.zoomed.textContent = zoom < 1 ? `1/${Math.round(1 / zoom)}` : `${zoom}x`;
    this.zoomed.title =
      zoom < 1
        ? "Reduced for an overview; zoom in for true pixels"
        : "Screen pixels for each pixel of the image, along each side";
  }

  drawView(context, view, left, right) {
    const {
      zoom,
      origin: [y, x],
      pane: [height],
    } = this.camera;
    context.save();
    context.beginPath();
    context.rect(left, 0, right - left, height);
    context.clip();
    context.imageSmoothingEnabled = zoom < 1;
    context.imageSmoothingQuality = "high";
    context.translate(x, y);
    context.scale(zoom, zoom);
    context.drawImage(this.picture.drawable(view, Number(this.top.value)), 0, 0);
    context.restore();
  }

  drawMarks(context) {
    const {
      zoom,
      origin: [y, x],
    } = this.camera;
    const ratio = Math.round(window.devicePixelRatio || 1);
    const box = (left, top, width, height, colors) => {
      colors.forEach((color, ring) => {
        const out = ratio * (ring + 0.5);
        context.lineWidth = ratio;
        context.strokeStyle = color;
        context.strokeRect(left - out, top - out, width + 2 * out, height + 2 * out);
      });
    };
    for (const { top, left, size } of this.places) {
      box(x + left * zoom, y + top * zoom, size * zoom, size * zoom, [
        "#d55e00",
        "#d55e00",
        "#fff",
      ]);
    }
    if (this.cursor) {
      const [row, column] = this.cursor;
      const size = Math.max(zoom, 7 * ratio);
      const [top, left] = [y + row * zoom, x + column * zoom].map((start) =>
        Math.round(start + (zoom - size) / 2),
      );
      box(left, top, size, size, ["#fff", "#000"]);
    }
  }

  // --- pointers and keys ---

  listen() {
    const { signal } = this.end;
    const on = (node, event, listener, options = {}) =>
      node.addEventListener(event, listener, { signal, ...options });
    on(this.panes, "pointerdown", (event) => this.press(event));
    on(this.panes, "pointermove", (event) => this.move(event));
    on(this.panes, "pointerup", (event) => this.release(event));
    on(this.panes, "pointercancel", (event) => this.pointers.delete(event.pointerId));
    on(this.panes, "dblclick", (event) =>
      this.zoom(event.shiftKey ? -1 : 1, ...this.screenPoint(event)),
    );
    on(this.stage, "wheel", (event) => this.wheel(event), { passive: false });
    on(this.root, "keydown", (event) => this.key(event));
    // JupyterLab takes a key before the page does, unless what has the focus says otherwise.
    on(this.root, "focusin", ({ target }) => {
      target.dataset.lmSuppressShortcuts = "true";
    });
    for (const event of ["pointerdown", "pointermove", "pointerup", "dblclick"]) {
      on(this.divider, event, (happened) => this.dragDivider(happened));
    }
  }

  // Where an event was in its pane, in screen pixels.
  screenPoint(event) {
    const pane = event.target.closest(".srl-pane") ?? this.panes.firstChild;
    const place = pane.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    return [(event.clientX - place.left) * ratio, (event.clientY - place.top) * ratio];
  }

  pixelAt(x, y) {
    const [row, column] = this.camera.pointAt(x, y).map(Math.floor);
    const { height, width } = this.picture;
    return row >= 0 && column >= 0 && row < height && column < width ? [row, column] : null;
  }

  press(event) {
    if (!this.picture || event.button > 0) return;
    this.stage.focus({ preventScroll: true });
    event.target.setPointerCapture?.(event.pointerId);
    const point = this.screenPoint(event);
    this.pointers.set(event.pointerId, { point, start: point, moved: false });
    if (this.pointers.size === 2) {
      this.pinch = { zoom: this.camera.zoom, distance: this.spread().distance };
    }
  }

  spread() {
    const [[x, y], [u, v]] = [...this.pointers.values()].map(({ point }) => point);
    return { distance: Math.max(1, Math.hypot(u - x, v - y)), middle: [(x + u) / 2, (y + v) / 2] };
  }

  move(event) {
    if (!this.picture || event.target === this.divider) return;
    const point = this.screenPoint(event);
    const pointer = this.pointers.get(event.pointerId);
    if (!pointer) {
      this.cursor = this.pixelAt(...point) ?? this.cursor;
      this.read();
      this.draw();
      return;
    }
    const slack = CLICK_PX * (window.devicePixelRatio || 1);
    const [dx, dy] = [point[0] - pointer.point[0], point[1] - pointer.point[1]];
    pointer.moved ||= Math.hypot(point[0] - pointer.start[0], point[1] - pointer.start[1]) > slack;
    if (!pointer.moved) return;
    const { camera } = this;
    const fingers = this.pointers.size;
    camera.moveTo(
      camera.row - dy / camera.zoom / fingers,
      camera.column - dx / camera.zoom / fingers,
    );
    pointer.point = point;
    if (fingers === 2) {
      const { distance, middle } = this.spread();
      const wanted = (this.pinch.zoom * distance) / this.pinch.distance;
      const nearest = ZOOMS.reduce((a, b) =>
        Math.abs(Math.log(b / wanted)) < Math.abs(Math.log(a / wanted)) ? b : a,
      );
      if (nearest !== camera.zoom) camera.zoomTo(nearest, ...middle);
      for (const other of this.pointers.values()) other.moved = true;
    }
    this.draw();
  }

  release(event) {
    const pointer = this.pointers.get(event.pointerId);
    this.pointers.delete(event.pointerId);
    if (!pointer || pointer.moved) return;
    const pixel = this.pixelAt(...pointer.start);
    if (!pixel) return;
    this.cursor = pixel;
    this.read();
    this.draw();
    const [row, column] = pixel;
    const hit = this.places
      .filter(
        ({ top, left, size }) =>
          row >= top && column >= left && row < top + size && column < left + size,
      )
      .sort((a, b) => a.size - b.size)[0];
    if (hit && !isSameWindow(hit, this.followed)) this.goToWindow(hit);
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) {
      this.hint.textContent = "Ctrl + wheel zooms";
      this.hint.hidden = false;
      clearTimeout(this.hinting);
      this.hinting = setTimeout(() => {
        this.hint.hidden = true;
      }, 900);
      return;
    }
    event.preventDefault();
    this.turned = (this.turned ?? 0) + event.deltaY * (event.deltaMode ? 30 : 1);
    if (Math.abs(this.turned) < 30) return;
    this.zoom(-Math.sign(this.turned), ...this.screenPoint(event));
    this.turned = 0;
  }

  dragDivider(event) {
    event.stopPropagation();
    if (event.type === "pointerdown") {
      this.divider.focus({ preventScroll: true });
      this.divider.setPointerCapture(event.pointerId);
    } else if (event.type === "pointermove" && this.divider.hasPointerCapture(event.pointerId)) {
      this.split = clamp(this.screenPoint(event)[0] / this.camera.pane[1], 0, 1);
      this.draw();
    }
  }

  zoom(steps, x, y) {
    if (!this.picture) return;
    if (x == null && this.cursor) {
      const [top, left] = this.camera.origin;
      [y, x] = [
        top + (this.cursor[0] + 0.5) * this.camera.zoom,
        left + (this.cursor[1] + 0.5) * this.camera.zoom,
      ];
      [y, x] = [clamp(y, 0, this.camera.pane[0]), clamp(x, 0, this.camera.pane[1])];
    }
    this.camera.step(steps, x, y);
    this.draw();
    const { zoom } = this.camera;
    this.announce(zoom < 1 ? `reduced to 1/${Math.round(1 / zoom)}` : `zoom ${zoom}`);
  }

  showAll() {
    this.camera.showAll();
    this.draw();
    this.announce("the whole image");
  }

  moveCursor(down, right, far) {
    const { height, width } = this.picture;
    const { camera } = this;
    const [tall, wide] = camera.pane.map((length) => length / camera.zoom / 4);
    if (far) camera.moveTo(camera.row + down * tall, camera.column + right * wide);
    const [row, column] = this.cursor ?? [camera.row, camera.column].map(Math.floor);
    const [rows, columns] = far ? [down * tall, right * wide].map(Math.round) : [down, right];
    // The first key shows the cursor in the middle of the view.
    const step = this.cursor || far ? 1 : 0;
    this.cursor = [
      clamp(row + step * rows, 0, height - 1),
      clamp(column + step * columns, 0, width - 1),
    ];
    camera.reveal(...this.cursor);
    this.draw();
    this.announce(this.read());
  }

  key(event) {
    if (!this.picture || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("select, input")) return;
    const arrows = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
    const index = this.model.get("index") ?? 0;
    const acts = {
      d: () => this.switchMaps(),
      x: () => this.goBack(),
      t: () => this.setMode("toggle"),
      s: () => this.setMode("swipe"),
      b: () => this.setMode("side"),
      w: () => this.stepWindow(event.shiftKey ? -1 : 1),
      "+": () => this.zoom(1),
      "=": () => this.zoom(1),
      "-": () => this.zoom(-1),
      0: () => this.showAll(),
      "[": () => this.choose(index - 1),
      "]": () => this.choose(index + 1),
    };
    const arrow = arrows[event.key];
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (event.target === this.divider && (arrow || event.key === "Home" || event.key === "End")) {
      const step = (event.shiftKey ? 0.1 : 0.01) * (arrow ? arrow[1] - arrow[0] : 0);
      this.split = { Home: 0, End: 1 }[event.key] ?? clamp(this.split + step, 0, 1);
      this.draw();
    } else if (arrow && this.stage.contains(event.target)) {
      this.moveCursor(...arrow, event.shiftKey);
    } else if (digit && Number(digit[1]) <= this.picture.facts.layers.length) {
      this.pick({ layer: Number(digit[1]) - 1, ad: event.shiftKey });
    } else if (act) {
      act();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}

export default {
  render({ model, el }) {
    const viewer = new Viewer(model, el);
    return () => viewer.end.abort();
  },
};
