// Heat maps: where in the picture the networks found what speaks for a place, one network at a time or together.

import { make, say } from "./element.js";
import { heatColour, readGrey } from "./planes.js";
import { json, patiently } from "./requests.js";
import { count } from "./words.js";

const TOGETHER = ""; // member
const METHODS = {
  grad_cam: "coarse, fast (gradient-weighted activations)",
  integrated_gradients: "fine, slow (integrated gradients)",
};
const NOTE =
  "Bright: what in the picture spoke for this place to the networks, compared with the brightest spot. " +
  "It does not show where the protein ends, nor how sure the networks are.";
let method = null; // kept from image to image
let member = TOGETHER;

export class HeatMaps {
  constructor(set, card, picture, explained) {
    Object.assign(this, { set, card, picture, node: null, closed: () => {}, asked: 0, found: null });
    this.path = `/explain/${set.id}/${card.key}`;
    this.status = make("p", { class: "status" });
    this.element = make("section", { class: "heat", "aria-label": "Heat map", hidden: true });
    this.ready = explained.then(
      (one) => (this.explained = one),
      () => (this.explained = {}),
    );
  }

  async show(node) {
    this.node = node;
    this.element.hidden = false;
    this.draw();
    await this.ready;
    await this.ask();
  }

  close() {
    this.asked += 1;
    this.node = null;
    this.element.hidden = true;
    this.picture.setHeat(null);
    this.closed();
  }

  draw() {
    const methods = Object.entries(this.explained?.methods ?? {});
    if (!methods.some(([name]) => name === method)) method = methods[0]?.[0] ?? null;
    const { maps = [], combined = null, absent = [] } = this.found ?? {};
    const networks = [
      ...(combined ? [[TOGETHER, "all together"]] : []),
      ...maps.map((one) => [one.member, one.member]),
    ];
    const choice = (label, options, value, change) => {
      const select = make(
        "select",
        { onchange: () => change(select.value) },
        options.map(([one, text]) => make("option", { value: one, selected: one === value }, text)),
      );
      return make("label", {}, label, select);
    };
    const strength = make("input", {
      type: "range",
      min: 0,
      max: 100,
      value: 100 * this.picture.opacity,
      oninput: () => {
        this.picture.opacity = strength.value / 100;
        this.picture.paint();
      },
    });
    const grey = make("input", {
      type: "checkbox",
      checked: this.picture.greyed,
      onchange: () => {
        this.picture.greyed = grey.checked;
        this.picture.draw();
      },
    });
    const parts = [
      make(
        "div",
        { class: "dialog-head" },
        make("h3", {}, `Heat map: ${this.node}`),
        make("button", { type: "button", onclick: () => this.close() }, "Close"),
      ),
      this.status,
      make(
        "div",
        { class: "heat-choices" },
        networks.length > 1 ? choice("Network", networks, member, (value) => ((member = value), this.fetch())) : null,
        methods.length > 1
          ? choice(
              "How",
              methods.map(([name, title]) => [name, METHODS[name] ?? title]),
              method,
              (value) => ((method = value), this.ask()),
            )
          : null,
        networks.length ? make("label", {}, "Strength", strength) : null,
        networks.length ? make("label", { class: "check" }, grey, "picture in grey") : null,
      ),
      networks.length ? scale() : null,
      networks.length ? make("p", { class: "small soft" }, NOTE) : null,
      absent.length
        ? make(
            "details",
            { class: "small", open: !networks.length },
            make("summary", {}, `No heat map from ${count(absent.length, "network")}`),
            make(
              "ul",
              {},
              absent.map((one) => make("li", {}, `${one.member}: ${one.reason}`)),
            ),
          )
        : null,
    ];
    this.element.replaceChildren(...parts.filter(Boolean));
  }

  /** Ask which networks have a map of the node, and why others have none; then fetch the chosen one. */
  async ask() {
    const asked = (this.asked += 1);
    this.found = null;
    this.draw();
    this.tell(`Working out the heat map of ${this.node} …`);
    try {
      const found = await patiently(() =>
        json(`${this.path}/heatmaps?${this.query()}`, { signal: this.picture.gone.signal }),
      );
      if (asked !== this.asked) return;
      this.found = found;
      const has = (name) => (name === TOGETHER ? found.combined : found.maps.some((one) => one.member === name));
      if (!has(member)) member = found.combined || !found.maps.length ? TOGETHER : found.maps[0].member;
      this.draw();
      if (has(member)) await this.fetch();
      else this.none("no network has one for this place.");
    } catch (error) {
      if (asked === this.asked && error.name !== "AbortError") this.none(error.message);
    }
  }

  query(chosen = TOGETHER) {
    return new URLSearchParams({
      node: this.node,
      ...(method ? { method } : {}),
      ...(chosen ? { member: chosen } : {}),
    });
  }

  async fetch() {
    const asked = (this.asked += 1);
    this.tell(`Working out the heat map of ${this.node} …`);
    try {
      const heat = await readGrey(`${this.path}/heatmap.png?${this.query(member)}`, this.picture.gone.signal);
      if (asked !== this.asked) return;
      this.picture.setHeat(heat);
      const empty = heat.values.every((value) => value === 0);
      this.tell(empty ? `Nothing in the picture speaks for ${this.node}.` : "");
      say(empty ? this.status.textContent : `The heat map of ${this.node} is shown`);
    } catch (error) {
      if (asked === this.asked && error.name !== "AbortError") this.none(error.message);
    }
  }

  none(why) {
    this.picture.setHeat(null);
    this.tell(`There is no heat map: ${why}`);
    say(this.status.textContent);
  }

  tell(text) {
    this.status.textContent = text;
    this.status.hidden = !text;
  }
}

function scale() {
  const ramp = make("span", { class: "ramp", "aria-hidden": "true" });
  for (let i = 0; i <= 10; i += 1) {
    const stop = make("span");
    stop.style.setProperty("background-color", `rgb(${heatColour(i / 10).join(" ")})`);
    ramp.append(stop);
  }
  return make("p", { class: "small soft scale" }, "little", ramp, "much speaks for it");
}
