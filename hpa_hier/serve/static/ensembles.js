// Ensembles: which one answers, what each learned from and is not for, and the tree of its places.

import { find, make } from "./element.js";
import { json, patiently } from "./requests.js";
import { capital, count } from "./words.js";

const known = new Map(); // name → ensemble
const trees = new Map(); // name → tree
export const chosen = () => find("ensemble").value;
export const ensemble = (name) => known.get(name);

/** Read which ensembles are there, and offer them. */
export async function readEnsembles(wanted = null) {
  const { ensembles, default: usual } = await patiently(() => json("/ensembles"));
  const select = find("ensemble");
  const before = wanted ?? (select.value || usual);
  known.clear();
  for (const one of ensembles) known.set(one.name, one);
  select.replaceChildren(
    ...ensembles.map((one) => make("option", { value: one.name, disabled: !one.usable }, title(one))),
  );
  select.value = known.get(before)?.usable ? before : (ensembles.find((one) => one.usable)?.name ?? "");
  drawCards();
  return ensembles;
}

const simulated = (one) => one.origin?.networks === "simulated";
const title = (one) => one.name + (one.usable ? (simulated(one) ? " (simulated cells)" : "") : " (not for images)");

/** The places that an ensemble knows, parents before children. */
export async function readTree(name) {
  if (!trees.has(name)) {
    const { tree } = await patiently(() => json(`/ensembles/${encodeURIComponent(name)}`));
    trees.set(name, tree);
  }
  return trees.get(name);
}

export function openEnsembles() {
  drawCards();
  find("ensembles-dialog").showModal();
}

/** A short tag for where there is no room for the whole caution. */
export function tag(name) {
  const one = known.get(name);
  return one && simulated(one) ? make("span", { class: "tag" }, "simulated cells") : null;
}

function drawCards() {
  find("ensemble-cards").replaceChildren(...[...known.values()].map(drawCard));
}

function drawCard(one) {
  const here = one.name === chosen();
  const facts = [
    ["Learned from", one.learned_from],
    ["How good", one.quality?.length ? one.quality : ["not tested on any image"]],
    ["Not for", one.not_for],
    ["Knows", [`${count(one.classes, "place")}${levels(one)}`]],
    ["Needs", [needs(one)]],
    [
      "Networks",
      (one.members ?? []).map((member) => `${member.name}: ${member.network}, ${count(member.nodes, "place")}`),
    ],
  ];
  const choose = () => {
    find("ensemble").value = one.name;
    find("ensemble").dispatchEvent(new Event("change"));
    drawCards();
  };
  return make(
    "section",
    { class: `ensemble${here ? " chosen" : ""}` },
    make(
      "div",
      { class: "dialog-head" },
      make("h3", {}, one.name, here ? make("span", { class: "tag" }, "answers now") : null),
      one.usable && !here
        ? make("button", { type: "button", onclick: choose, "aria-label": `Choose ${one.name}` }, "Choose")
        : null,
    ),
    one.usable ? null : make("p", { class: "note" }, `Not for images: ${one.reason}`),
    one.caution ? make("p", { class: "note" }, `${capital(one.caution)}.`) : null,
    make(
      "dl",
      { class: "facts" },
      facts
        .filter(([, texts]) => texts?.length && texts[0])
        .map(([name, texts]) => [make("dt", {}, name), texts.map((text) => make("dd", {}, text))]),
    ),
  );
}

const levels = (one) => {
  const above = Object.entries(one.levels ?? {}).slice(0, -1);
  return above.length ? `, below ${above.map(([name, number]) => `${number} at level ${name}`).join(" and ")}` : "";
};

function needs(one) {
  const stains = (one.channels ?? []).map((channel) => `${channel} (${one.stains?.[channel] ?? channel})`).join(", ");
  const missing = one.may_be_missing?.length ? `; ${one.may_be_missing.join(" and ")} may be missing` : "";
  return stains ? `${stains}${missing}; seen at ${one.size} pixels` : "";
}
