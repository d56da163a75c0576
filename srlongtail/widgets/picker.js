// Chooses a window on an image. An ES module for anywidget.
//
// The model has `url`, a lossless image as a data: URI, its `name`, `height` and `width`, and
// `window`, [row, column, size] in its pixels, which this script changes.

const SMALLEST = 4;
const CLICK_PX = 4; // a pointer that moved less has clicked
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

const PARTS = `
  <div class="srl-photo" role="application" tabindex="0" aria-roledescription="window picker">
    <img alt="" draggable="false"><div class="srl-box"></div>
  </div>
  <div class="srl-bar">
    <label>Row <input type="number" data-part="0" step="1"></label>
    <label>Column <input type="number" data-part="1" step="1"></label>
    <label>Size <input type="number" data-part="2" step="1"></label>
  </div>
  <p class="srl-note">Click centers the window; drag it, or draw a new one beside it. Arrow keys
  move it by a pixel, with Shift by eight; + and - change its size.</p>
  <div class="srl-status" role="status" aria-live="polite"></div>`;

class Picker {
  constructor(model, el) {
    this.model = model;
    this.root = document.createElement("div");
    this.root.className = "srl-widget srl-picker";
    // JupyterLab takes a key before the page does, unless what has the focus says otherwise.
    this.root.addEventListener("focusin", ({ target }) => {
      target.dataset.lmSuppressShortcuts = "true";
    });
    this.root.innerHTML = PARTS;
    this.photo = this.root.querySelector(".srl-photo");
    this.box = this.root.querySelector(".srl-box");
    this.fields = [...this.root.querySelectorAll("input")];
    this.status = this.root.querySelector(".srl-status");
    this.image = this.root.querySelector("img");
    el.append(this.root);
    this.followers = { "change:window": () => this.take(), "change:url": () => this.load() };
    for (const [event, follow] of Object.entries(this.followers)) model.on(event, follow);
    this.photo.addEventListener("pointerdown", (event) => this.press(event));
    this.photo.addEventListener("pointermove", (event) => this.move(event));
    this.photo.addEventListener("pointerup", (event) => this.release(event));
    this.photo.addEventListener("pointercancel", () => this.cancel());
    this.photo.addEventListener("keydown", (event) => this.key(event));
    this.fields.forEach((field, part) => {
      field.addEventListener("change", () => this.type(part, Number(field.value)));
    });
    this.load();
  }

  end() {
    for (const [event, follow] of Object.entries(this.followers)) this.model.off(event, follow);
    this.cancel();
    clearTimeout(this.waiting);
    this.root.remove();
  }

  load() {
    this.image.src = this.model.get("url");
    const width = this.model.get("width");
    this.photo.style.maxWidth = `${width}px`;
    this.photo.style.aspectRatio = `${width} / ${this.model.get("height")}`;
    this.take();
  }

  take() {
    this.window = [...this.model.get("window")];
    this.draw();
  }

  // A window that fits into the image.
  fit([row, column, size]) {
    const [height, width] = [this.model.get("height"), this.model.get("width")];
    const most = Math.min(height, width);
    const side = clamp(Math.round(size), Math.min(SMALLEST, most), most);
    return [
      clamp(Math.round(row), 0, height - side),
      clamp(Math.round(column), 0, width - side),
      side,
    ];
  }

  draw() {
    const [row, column, size] = this.window;
    const [height, width] = [this.model.get("height"), this.model.get("width")];
    Object.assign(this.box.style, {
      top: `${(100 * row) / height}%`,
      left: `${(100 * column) / width}%`,
      width: `${(100 * size) / width}%`,
      height: `${(100 * size) / height}%`,
    });
    const limits = [height - size, width - size, Math.min(height, width)];
    this.fields.forEach((field, part) => {
      Object.assign(field, {
        value: this.window[part],
        min: part < 2 ? 0 : SMALLEST,
        max: limits[part],
      });
    });
    this.place = `window at row ${row}, column ${column}, ${size} pixels`;
    this.photo.setAttribute("aria-label", `${this.model.get("name")}: ${this.place}`);
  }

  // Tells Python and screen readers, once nothing newer has come for a moment.
  commit(wait) {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      this.model.set("window", [...this.window]);
      this.model.save_changes();
      this.status.textContent = this.place;
    }, wait);
  }

  // Where an event was, in pixels of the image.
  pointOf(event) {
    const place = this.image.getBoundingClientRect();
    const y = ((event.clientY - place.top) / place.height) * this.model.get("height");
    return [y, ((event.clientX - place.left) / place.width) * this.model.get("width")];
  }

  press(event) {
    if (event.button > 0 || this.drag) return;
    event.preventDefault();
    this.photo.focus({ preventScroll: true });
    this.photo.setPointerCapture(event.pointerId);
    const [y, x] = this.pointOf(event);
    const [row, column, size] = this.window;
    const inside = y >= row && x >= column && y < row + size && x < column + size;
    const from = [event.clientX, event.clientY];
    this.drag = { y, x, from, before: this.window, inside, moved: false };
  }

  move(event) {
    const { drag } = this;
    if (!drag) return;
    drag.moved ||=
      Math.hypot(event.clientX - drag.from[0], event.clientY - drag.from[1]) > CLICK_PX;
    if (!drag.moved) return;
    const [y, x] = this.pointOf(event);
    const [row, column, size] = drag.before;
    if (drag.inside) {
      this.window = this.fit([row + y - drag.y, column + x - drag.x, size]);
    } else {
      const side = Math.max(Math.abs(y - drag.y), Math.abs(x - drag.x));
      this.window = this.fit([
        y < drag.y ? drag.y - side : drag.y,
        x < drag.x ? drag.x - side : drag.x,
        side,
      ]);
    }
    this.draw();
  }

  release() {
    const { drag } = this;
    if (!drag) return;
    this.drag = null;
    if (!drag.moved) {
      const size = drag.before[2];
      this.window = this.fit([drag.y - size / 2, drag.x - size / 2, size]);
      this.draw();
    }
    this.commit(0);
  }

  cancel() {
    if (!this.drag) return;
    this.window = this.drag.before;
    this.drag = null;
    this.draw();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [row, column, size] = this.window;
    const far = event.shiftKey ? 8 : 1;
    const next = {
      ArrowUp: [row - far, column, size],
      ArrowDown: [row + far, column, size],
      ArrowLeft: [row, column - far, size],
      ArrowRight: [row, column + far, size],
      "+": [row - 2, column - 2, size + 4],
      "=": [row - 2, column - 2, size + 4],
      "-": [row + 2, column + 2, size - 4],
    }[event.key];
    if (event.key === "Escape") this.cancel();
    if (!next) return;
    event.preventDefault();
    event.stopPropagation();
    this.window = this.fit(next);
    this.draw();
    this.commit(300);
  }

  type(part, value) {
    if (Number.isFinite(value)) this.window = this.fit(this.window.with(part, value));
    this.draw();
    this.commit(0);
  }
}

export default {
  render({ model, el }) {
    const picker = new Picker(model, el);
    return () => picker.end();
  },
};
