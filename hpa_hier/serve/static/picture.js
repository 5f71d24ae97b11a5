// Picture: grey planes of a field laid over each other in the atlas's colours, switched, stretched, zoomed and moved.

import { make } from "./element.js";
import { COLOURS, compose, drawHeat, readGrey } from "./planes.js";

const SIDE = 1024; // pixels of the longer side that are fetched first
const FULL = 2048; // and where it is zoomed in
const SLIDER = 1000; // steps
const MOST = 40; // times
const shown = { red: true, green: true, blue: true, yellow: false }; // kept from image to image

export class Picture {
  /**
   * @param {object} card of the image
   * @param {string} path of the image on the server
   */
  constructor(card, path) {
    Object.assign(this, {
      card,
      path,
      planes: new Map(),
      heat: null,
      zoom: 1,
      at: [0.5, 0.5],
      greyed: true,
      opacity: 0.7,
    });
    this.gone = new AbortController();
    this.canvas = make("canvas", { role: "img", "aria-label": this.describe() });
    this.waiting = make("p", { class: "waiting" }, "Fetching the picture …");
    this.view = make(
      "div",
      { class: "view", tabindex: 0, role: "group", "aria-label": "Picture: plus and minus zoom, arrow keys move" },
      this.canvas,
      this.waiting,
    );
    this.channels = make("div", { class: "channels", role: "group", "aria-label": "Channels" });
    this.level = make("span", { class: "small soft", "aria-live": "off" }, "100 %");
    const button = (text, title, run) =>
      make("button", { type: "button", title, "aria-label": title, onclick: run }, text);
    this.tools = make(
      "div",
      { class: "tools" },
      button("−", "Zoom out", () => this.zoomBy(1 / 1.5)),
      button("+", "Zoom in", () => this.zoomBy(1.5)),
      button("Fit", "Show the whole field", () => this.fit()),
      this.level,
      button("Reset", "Reset channels, stretch and zoom", () => this.reset()),
      document.fullscreenEnabled ? button("Enlarge", "Fill the screen with the picture", () => this.enlarge()) : null,
    );
    this.below = make("div"); // the heat map's choices
    this.element = make("div", { class: "picture" }, this.view, this.tools, this.below, this.channels);
    this.listen();
    this.drawChannels();
    this.load(SIDE);
  }

  describe() {
    const on = this.card.channels
      .filter(({ name }) => shown[name] ?? true)
      .map(({ name, stain }) => `${stain} in ${name}`);
    return `The field ${this.card.id}: ${on.join(", ") || "no channel shown"}`;
  }

  close() {
    this.gone.abort();
    this.watcher.disconnect();
  }

  async load(side) {
    try {
      await Promise.all(this.card.channels.map(({ name }) => this.loadPlane(name, side)));
      this.waiting.hidden = true;
    } catch (error) {
      if (error.name !== "AbortError") this.waiting.textContent = `There is no picture: ${error.message}`;
    }
  }

  /** Fetch a plane; `low` and `high`: intensities that become 0 and 255, else the server's choice. */
  async readPlane(name, side, low = null, high = null) {
    const range = low === null ? "" : `&low=${low}&high=${high}`;
    const path = `${this.path}/channels/${name}.png?side=${side}${range}`;
    const { headers, ...grey } = await readGrey(path, this.gone.signal);
    const header = (key, otherwise) => Number(headers.get(key) ?? otherwise);
    const ends = { low: header("X-Low", 0), high: header("X-High", 255) };
    return { ...grey, ...ends, side, least: header("X-Min", 0), most: header("X-Max", 255) };
  }

  async loadPlane(name, side, low = null, high = null) {
    this.setPlane(name, await this.readPlane(name, side, low, high));
  }

  setPlane(name, plane) {
    const before = this.planes.get(name);
    plane.start = before?.start ?? [plane.low, plane.high];
    plane.window = before?.window ?? [plane.low, plane.high];
    plane.show = before?.show;
    this.planes.set(name, plane);
    if (!before) this.drawChannels();
    this.draw();
  }

  /** Fetch all planes in full, and change them at once. */
  async sharpen() {
    this.full = true;
    const names = [...this.planes.keys()];
    const read = (name) => this.readPlane(name, FULL, this.planes.get(name).low, this.planes.get(name).high);
    try {
      const planes = await Promise.all(names.map(read));
      names.forEach((name, at) => this.setPlane(name, planes[at]));
    } catch {
      // the coarser ones stay
    }
  }

  // Channels

  drawChannels() {
    this.channels.replaceChildren(...this.card.channels.map((channel, at) => this.channelRow(channel, at)));
  }

  channelRow({ name, stain }, at) {
    const box = make("input", {
      type: "checkbox",
      checked: shown[name] ?? true,
      onchange: () => this.toggle(name, box.checked),
    });
    box.dataset.channel = name;
    const label = make(
      "label",
      { class: "check" },
      box,
      make("span", { class: `dye ${name in COLOURS ? name : ""}`, "aria-hidden": "true" }),
      stain,
      make("kbd", { "aria-hidden": "true" }, at + 1),
    );
    const plane = this.planes.get(name);
    if (!plane) return make("div", { class: "channel" }, label);
    const value = make("span", { class: "range small soft" });
    const ends = ["darkest", "brightest"].map((end, which) =>
      make("input", {
        type: "range",
        min: 0,
        max: SLIDER,
        "aria-label": `${stain}: ${end} value shown`,
        oninput: (event) => this.stretch(name, which, event.target, value),
      }),
    );
    const show = () => {
      const { window } = this.planes.get(name);
      ends.forEach((end, which) => {
        end.value = this.position(name, window[which]);
        end.setAttribute("aria-valuetext", Math.round(window[which]).toLocaleString("en"));
      });
      value.textContent = window.map((one) => Math.round(one).toLocaleString("en")).join(" – ");
    };
    plane.show = show;
    show();
    return make("div", { class: "channel" }, label, make("span", { class: "ends" }, ends), value);
  }

  /** Where an intensity is on its slider; the dark ones get more room, as most pixels are dark. */
  position(name, intensity) {
    const { least, most } = this.planes.get(name);
    return Math.round(SLIDER * Math.sqrt(Math.max(intensity - least, 0) / Math.max(most - least, 1)));
  }

  stretch(name, which, input) {
    const plane = this.planes.get(name);
    const { least, most, window } = plane;
    const intensity = least + (most - least) * (input.value / SLIDER) ** 2;
    window[which] = which ? Math.max(intensity, window[0] + 1) : Math.min(intensity, window[1] - 1);
    plane.show();
    this.draw();
    clearTimeout(plane.later);
    plane.later = setTimeout(() => this.refine(name), 400);
  }

  /** Fetch a plane again where what was fetched is too coarse for what is shown, or ends before it. */
  refine(name) {
    const plane = this.planes.get(name);
    const [low, high] = plane.window;
    const wider = low < plane.low - 1 || high > plane.high + 1;
    if (!wider && high - low > (plane.high - plane.low) / 6) return;
    this.loadPlane(name, plane.side, low, high).catch(() => {}); // the coarser one stays
  }

  toggle(name, on) {
    shown[name] = on;
    const box = this.channels.querySelector(`input[data-channel="${CSS.escape(name)}"]`);
    if (box) box.checked = on;
    this.draw();
  }

  /** Switch the channel of this number, counted from 0; alone: all others off, or all on again. */
  switchChannel(at, alone) {
    const names = this.card.channels.map(({ name }) => name);
    const name = names[at];
    if (!name) return;
    if (!alone) return this.toggle(name, !(shown[name] ?? true));
    const only = names.every((other) => (shown[other] ?? true) === (other === name));
    for (const other of names) this.toggle(other, only || other === name);
  }

  reset() {
    Object.assign(shown, { red: true, green: true, blue: true, yellow: false });
    for (const plane of this.planes.values()) plane.window = [...plane.start];
    this.drawChannels();
    for (const name of this.planes.keys()) this.refine(name);
    this.fit();
  }

  // The heat map

  /** Lay a heat map over the picture; null takes it away. */
  setHeat(heat) {
    this.heat = heat;
    this.draw();
  }

  // Drawing

  draw() {
    if (this.planned) return;
    this.planned = requestAnimationFrame(() => {
      this.planned = null;
      this.compose();
      this.paint();
    });
  }

  compose() {
    const planes = [...this.planes].filter(([name]) => shown[name] ?? true);
    this.canvas.setAttribute("aria-label", this.describe());
    const first = this.planes.values().next().value;
    if (!first) return;
    this.composed = compose(first, planes, Boolean(this.heat) && this.greyed);
    this.heated = this.heat && drawHeat(this.heat);
  }

  /** Put the picture on the screen. */
  paint() {
    if (!this.composed) return;
    const { clientWidth, clientHeight } = this.view;
    const ratio = devicePixelRatio || 1;
    Object.assign(this.canvas, {
      width: Math.max(clientWidth * ratio, 1),
      height: Math.max(clientHeight * ratio, 1),
    });
    const context = this.canvas.getContext("2d");
    const { width, height } = this.composed;
    const scale = this.scale() * ratio;
    const [x, y] = [
      this.canvas.width / 2 - this.at[0] * width * scale,
      this.canvas.height / 2 - this.at[1] * height * scale,
    ];
    context.imageSmoothingEnabled = scale < 3;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.composed, x, y, width * scale, height * scale);
    if (this.heated) this.paintHeat(context, x, y, width * scale, height * scale);
    this.level.textContent = `${Math.round(100 * this.zoom)} %`;
    this.view.classList.toggle("zoomed", this.zoom > 1);
    const drawn = this.card.channels.filter(({ name }) => this.planes.has(name) && (shown[name] ?? true));
    this.canvas.dataset.drawn = drawn.map(({ name }) => name).join(" ");
  }

  /** The map is of the square in whose middle the field was put for the networks. */
  paintHeat(context, x, y, width, height) {
    const side = Math.max(width, height);
    const [w, h] = [this.heated.width, this.heated.height];
    context.save();
    context.beginPath();
    context.rect(x, y, width, height);
    context.clip();
    context.globalAlpha = this.opacity;
    context.imageSmoothingEnabled = true;
    context.drawImage(this.heated, 0, 0, w, h, x - (side - width) / 2, y - (side - height) / 2, side, side);
    context.restore();
  }

  /** Screen pixels of one of the picture's pixels. */
  scale() {
    const { width, height } = this.composed;
    return this.zoom * Math.min(this.view.clientWidth / width, this.view.clientHeight / height);
  }

  // Zoom and moving

  zoomBy(factor, at = null) {
    if (!this.composed) return;
    const before = this.scale();
    const { width, height } = this.composed;
    const zoom = Math.min(Math.max(this.zoom * factor, 1), MOST);
    if (at) {
      // what is under the pointer stays there
      const [dx, dy] = [at[0] - this.view.clientWidth / 2, at[1] - this.view.clientHeight / 2];
      const after = (before * zoom) / this.zoom;
      this.at = [this.at[0] + (dx / before - dx / after) / width, this.at[1] + (dy / before - dy / after) / height];
    }
    this.zoom = zoom;
    this.keepInside();
    this.paint();
    const coarse = this.scale() * devicePixelRatio > 1.5 && Math.max(width, height) >= SIDE;
    if (coarse && !this.full) this.sharpen();
  }

  moveBy(dx, dy) {
    if (!this.composed) return;
    this.at = [
      this.at[0] - dx / (this.scale() * this.composed.width),
      this.at[1] - dy / (this.scale() * this.composed.height),
    ];
    this.keepInside();
    this.paint();
  }

  keepInside() {
    const sides = [
      [this.composed.width, this.view.clientWidth],
      [this.composed.height, this.view.clientHeight],
    ];
    this.at = this.at.map((at, axis) => {
      const half = sides[axis][1] / this.scale() / sides[axis][0] / 2;
      return half >= 0.5 ? 0.5 : Math.min(Math.max(at, half), 1 - half);
    });
  }

  fit() {
    Object.assign(this, { zoom: 1, at: [0.5, 0.5] });
    this.draw();
  }

  enlarge() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.element.requestFullscreen();
  }

  listen() {
    const { view } = this;
    this.watcher = new ResizeObserver(() => this.composed && (this.keepInside(), this.paint()));
    this.watcher.observe(view);
    view.addEventListener(
      "wheel",
      (event) => {
        if (!event.deltaY || (this.zoom === 1 && event.deltaY > 0)) return; // the page scrolls on
        event.preventDefault();
        this.zoomBy(Math.exp(-event.deltaY / 400), this.point(event));
      },
      { passive: false },
    );
    view.addEventListener("keydown", (event) => {
      const step = 60;
      const move = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[
        event.key
      ];
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (move && this.zoom > 1) this.moveBy(...move);
      else if (event.key === "+" || event.key === "=") this.zoomBy(1.5);
      else if (event.key === "-") this.zoomBy(1 / 1.5);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    view.addEventListener("dblclick", (event) => this.zoomBy(2, this.point(event)));
    const fingers = new Map();
    view.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, this.point(event));
      if (this.zoom > 1 || fingers.size > 1) view.setPointerCapture(event.pointerId);
    });
    view.addEventListener("pointermove", (event) => {
      if (!fingers.has(event.pointerId)) return;
      const [before, after] = [fingers.get(event.pointerId), this.point(event)];
      if (fingers.size === 2) {
        const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
        const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
        this.zoomBy(apart(after) / Math.max(apart(before), 1), [
          (after[0] + other[0]) / 2,
          (after[1] + other[1]) / 2,
        ]);
      } else if (this.zoom > 1) this.moveBy(after[0] - before[0], after[1] - before[1]);
      fingers.set(event.pointerId, after);
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
      view.addEventListener(end, (event) => fingers.delete(event.pointerId));
  }

  point(event) {
    const { left, top } = this.view.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }
}
