// Keys: single keys for those who look through many images; they can be switched off.

import { closeCard, opened, showTab, step } from "./card.js";
import { find, make } from "./element.js";

const KEYS = [
  ["j or →", "next image"],
  ["k or ←", "previous image"],
  ["1 to 4", "switch a channel; with Shift: this one alone, or all"],
  ["0", "reset channels and zoom"],
  ["+ and −", "zoom the picture; arrow keys move it while it has the focus"],
  ["h", "heat map of the likeliest place, on and off"],
  ["w, t, n", "why, places, nearest"],
  ["c", "correct: type a place, Enter checks it, Enter again saves and goes on"],
  ["s", "save the label as it is checked, next image"],
  ["u", "unsure, next image"],
  ["/", "find an image"],
  ["Esc", "close the heat map, then the image"],
  ["?", "this list"],
];
const TYPED = "input:not([type=checkbox]):not([type=range]), textarea, select";

export function prepareKeys() {
  find("keys-list").replaceChildren(
    ...KEYS.map(([key, words]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, words)]).flat(),
  );
  const on = find("keys-on");
  try {
    on.checked = localStorage.getItem("keys") !== "off";
    on.addEventListener("change", () => localStorage.setItem("keys", on.checked ? "on" : "off"));
  } catch {
    // not kept
  }
  find("open-keys").addEventListener("click", () => find("keys-dialog").showModal());
  document.addEventListener("keydown", press);
}

function press(event) {
  if (!find("keys-on").checked || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (document.querySelector("dialog[open]") || event.target.closest?.(TYPED)) return;
  const run = plain(event) ?? (opened() && within(event, opened()));
  if (!run) return;
  event.preventDefault();
  run();
}

function plain(event) {
  return {
    "/": () => find("text").focus(),
    "?": () => find("keys-dialog").showModal(),
    ...(opened() ? {} : { j: () => step(1), k: () => step(1) }),
  }[event.key];
}

function within(event, { card, picture, heat, correcting, show }) {
  const digit = /^(?:Digit|Numpad)([0-9])$/.exec(event.code)?.[1];
  if (digit >= "1" && digit <= "9") return () => picture.switchChannel(Number(digit) - 1, event.shiftKey);
  const arrows = !event.target.closest('[role="tab"], [role="tree"], input, .zoomed');
  return {
    j: () => step(1),
    k: () => step(-1),
    ArrowRight: arrows ? () => step(1) : null,
    ArrowLeft: arrows ? () => step(-1) : null,
    0: () => picture.reset(),
    "+": () => picture.zoomBy(1.5),
    "=": () => picture.zoomBy(1.5),
    "-": () => picture.zoomBy(1 / 1.5),
    h: () => (heat.node ? heat.close() : show(card.places[0].node)),
    w: () => showTab("why"),
    t: () => showTab("places"),
    n: () => showTab("nearest"),
    c: () => (showTab("correct"), correcting.search.focus()),
    s: () => correcting.save(),
    u: () => correcting.unsure(),
    Escape: () => (heat.node ? heat.close() : closeCard()),
  }[event.key];
}
