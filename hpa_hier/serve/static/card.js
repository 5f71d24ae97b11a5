// Card: one image with its answer, why it is this one, its heat maps, its nearest training images, and its correction.

import { Correcting } from "./correcting.js";
import { bar, find, given, make, tabs } from "./element.js";
import { ensemble, readTree } from "./ensembles.js";
import { HeatMaps } from "./heatmaps.js";
import { listed, neighbour, reveal } from "./list.js";
import { Picture } from "./picture.js";
import { complain, json, patiently } from "./requests.js";
import { now, page, tell } from "./sets.js";
import { fill } from "./thumbnails.js";
import { Tree } from "./tree.js";
import { answer, capital, percent } from "./words.js";

const TABS = [["why", "Why"], ["places", "Places"], ["nearest", "Nearest"], ["correct", "Correct"]];
let tab = "why"; // kept from image to image
let open = null; // {row, card, picture, heat, correcting, select}

export const opened = () => open;

/** Open an image; the list stays where it is. */
export async function openCard(row, { focus = true, push = true } = {}) {
  if (!row || !now.set) return;
  const { set } = now;
  now.row = row;
  tell("card");
  reveal();
  const address = `#${set.id}/${row.key}`;
  if (push) history[open ? "replaceState" : "pushState"](null, "", address); // back leads to the list
  try {
    const path = `/jobs/${set.id}/samples/${row.key}`;
    const [card, tree] = await Promise.all([patiently(() => json(path)), readTree(set.job.ensemble)]);
    if (now.row !== row && now.row?.key !== row.key) return; // another one was opened meanwhile
    draw(set, card, tree, path);
    if (focus) find("card").focus({ preventScroll: true });
    find("card").scrollTop = 0;
  } catch (error) {
    complain(error);
  }
}

/** Close the card, and go back to the list. */
export function closeCard({ push = true } = {}) {
  const key = now.row?.key;
  dispose();
  now.row = null;
  find("card").hidden = true;
  document.body.classList.remove("opened");
  tell("card");
  if (push) history.pushState(null, "", location.pathname);
  if (key) find("rows").querySelector(`[data-key="${CSS.escape(key)}"] button.open`)?.focus();
}

function dispose() {
  open?.picture.close();
  open = null;
}

/** Go to the image that comes next in the list, or before. */
export function step(by) {
  const row = neighbour(by);
  if (row) openCard(row);
}

/** Go to the next image after a correction; who was typing goes on typing. */
async function goOn(typing) {
  const row = neighbour(1);
  if (!row) return false;
  await openCard(row, { focus: !typing });
  if (typing) open?.correcting.search.focus({ preventScroll: true });
  return true;
}

export function showTab(name) {
  const button = find(`tab-${name}`);
  if (button) open.select(button, false);
}

function draw(set, card, tree, path) {
  dispose();
  const picture = new Picture(card, path);
  const explained = json(`/explain/${set.id}/${card.key}`);
  const heat = new HeatMaps(set, card, picture, explained);
  const nodes = new Map(card.nodes.map((one) => [one.node, one]));
  const way = pathTo(tree, card.places[0]?.node);
  const places = new Tree({ tree, label: "Places, with how likely each is. Enter shows its heat map", nodes, path: way, act: (node) => show(node) });
  const show = (node) => {
    places.choose(node);
    picture.element.scrollIntoView({ block: "nearest" });
    return heat.show(node);
  };
  heat.closed = () => places.choose(null);
  const correcting = new Correcting({ set, card, tree, nodes, path: way, next: (typing) => goOn(typing), stay: (row) => openCard(row, { focus: false, push: false }) });
  const list = make("div", { role: "tablist", "aria-label": "About this image", class: "tabs" },
    TABS.map(([name, title]) => make("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, "aria-selected": name === tab, tabindex: name === tab ? 0 : -1 }, title)));
  const panel = (name, ...children) => make("div", { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, hidden: name !== tab, class: "panel" }, children);
  const why = panel("why", make("p", { class: "soft" }, "Reading …"));
  const nearest = panel("nearest", make("p", { class: "soft" }, "Looking for the nearest training images. The first time, this can take minutes …"));
  picture.below.append(heat.element);
  find("card").replaceChildren(
    head(card),
    make(
      "div",
      { class: "columns" },
      make("div", { class: "seen" }, picture.element),
      make(
        "div",
        { class: "told" },
        warning(card),
        likeliest(card),
        verdict(set, card),
        list,
        why,
        panel("places", makeOpener(places), places.element),
        nearest,
        panel("correct", correcting.element),
      ),
    ),
  );
  find("card").hidden = false;
  document.body.classList.add("opened");
  let asked = false;
  const turn = () => {
    if (tab !== "nearest" || asked) return;
    asked = true;
    patiently(() => json(`/explain/${set.id}/${card.key}/nearest`, { signal: picture.gone.signal })).then(
      (found) => nearest.replaceChildren(...neighbours(found)),
      (error) => error.name !== "AbortError" && nearest.replaceChildren(make("p", {}, error.message)),
    );
  };
  const select = tabs(list, (id) => ((tab = id.replace("tab-", "")), turn()));
  turn();
  open = { card, picture, heat, correcting, select, show, list };
  picture.paint();
  explained.then(
    (explanation) => why.replaceChildren(...reasons(explanation, card)),
    (error) => why.replaceChildren(make("p", {}, error.message)),
  );
}

/** The nodes from the top to a place. */
function pathTo(tree, place) {
  const above = new Map(tree.map(({ node, parents }) => [node, parents]));
  const way = new Set();
  for (let node = place; node; node = above.get(node)?.[0]) way.add(node);
  return way;
}

function head(card) {
  const rows = listed();
  const at = rows.findIndex((row) => row.key === card.key);
  const button = (text, label, by, key) => make("button", { type: "button", "aria-label": label, title: `${label} (${key})`, disabled: !rows[at + by], onclick: () => step(by) }, text);
  const source = [...new Set(card.source ?? [])].filter((name) => !name.startsWith(card.id)); // what the id does not say
  return make(
    "header",
    { class: "card-head" },
    make("button", { type: "button", class: "back", onclick: () => closeCard() }, "Back to the list"),
    make("div", { class: "title" }, make("h2", {}, given(card.id)), source.length > 0 ? make("p", { class: "small soft files" }, given(source.join(", "))) : null),
    make("div", { class: "steps" },
      make("span", { class: "small soft" }, at < 0 ? "" : `${at + 1} of ${rows.length}`),
      button("←", "Previous image", -1, "k"), button("→", "Next image", 1, "j")),
  );
}

/** What is doubtful about the picture itself. */
function warning(card) {
  if (!card.doubtful.length) return null;
  return make("div", { class: card.unlike ? "note warned" : "note" },
    make("h3", {}, card.unlike ? "Unlike what was learned from" : "Doubtful about this picture"),
    make("ul", {}, card.doubtful.map((text) => make("li", {}, capital(text.replace(/^unlike what was learned from: /, ""))))));
}

function likeliest(card) {
  const nodes = new Map(card.nodes.map((one) => [one.node, one]));
  return make(
    "section",
    { class: "likeliest", "aria-label": "The likeliest places" },
    make("h3", {}, card.places.length > 1 ? `The ${card.places.length} likeliest places` : "The likeliest place"),
    make("ul", {}, card.places.map(({ node, prob }) => {
      const { threshold, present, never } = nodes.get(node) ?? {};
      const needs = never ? "never in an answer: no image of it to learn from" : threshold === null || threshold === undefined ? "" : `needs ${percent(threshold)}`;
      return make("li", {},
        make("span", { class: "line" }, make("span", { class: present ? "name present" : "name" }, node), make("span", { class: "prob" }, percent(prob))),
        bar(prob, never ? null : threshold, present),
        make("span", { class: "small soft" }, [needs, present ? "in the answer" : "not in the answer"].filter(Boolean).join("; ")));
    })),
  );
}

function verdict(set, card) {
  const nearest = !card.labels.length && card.fallback ? `; the nearest is ${card.fallback}` : "";
  const safe = card.safe ? [card.safe] : [make("span", { class: "soft" }, card.safe_reason === "unsure" ? "none: no place is certain enough" : none(card.safe_reason))];
  return make(
    "section",
    { class: "verdict", "aria-label": "The answer" },
    make("dl", {},
      make("dt", {}, "Answer"), make("dd", {}, answer(card) + nearest),
      make("dt", {}, "Safe answer"), make("dd", {}, safe),
      ...(card.corrected ? [make("dt", {}, "Your label"), make("dd", {}, card.corrected.unsure ? "unsure" : card.corrected.labels.join(", "))] : [])),
    card.caution ? make("p", { class: "caution small" }, `${capital(card.caution)}.`) : null,
  );
}

const none = (reason) => (reason ? `none: ${reason.replace(/^no safe answer: /, "")}` : "none for this image");

function makeOpener(places) {
  let all = false;
  const button = make("button", { type: "button", class: "plain small", onclick: () => { all = !all; places.openAll(all); button.textContent = all ? "Close all groups" : "Open all groups"; } }, "Open all groups");
  return make("p", { class: "small soft" }, "Choose a place to see where in the picture the networks found it. Bold: in the answer. The mark on a bar: what the place needs. ", button);
}

/** Why, in words. */
function reasons({ reasons, text }, card) {
  if (!reasons) return [make("pre", { class: "why" }, text)];
  const said = new Set([...card.doubtful, card.caution, card.safe_reason]);
  const doubts = [...reasons.warnings, ...reasons.doubts, ...reasons.notes].filter((one, at, all) => !said.has(one) && all.indexOf(one) === at);
  const indent = Math.min(...reasons.why.map((line) => line.search(/\S/)).filter((at) => at >= 0));
  return [
    reasons.summary ? make("p", { class: "summary" }, reasons.summary) : null,
    make("ul", { class: "walk" }, reasons.why.map((line) => {
      const item = make("li", {}, line.trim());
      item.style.setProperty("--depth", Math.max(0, (line.search(/\S/) - indent) / 2));
      return item;
    })),
    doubts.length ? make("h3", {}, "What is doubtful") : null,
    doubts.length ? make("ul", {}, doubts.map((one) => make("li", {}, capital(one)))) : null,
    make("p", { class: "small soft" }, `Answered by ${reasons.members ?? ""} networks of ${reasons.source || ensemble(now.set.job.ensemble)?.name}.`),
  ].filter(Boolean);
}

function neighbours({ images, reason }) {
  if (!images.length) return [make("p", {}, `There are none: ${reason ?? "no reason was given"}.`.replace("..", "."))];
  return [
    make("p", { class: "small soft" }, "The training images that look most alike to the networks, with the labels they were given."),
    make("ul", { class: "nearest" }, images.map((one) =>
      make("li", {},
        make("div", { class: "frame" }, one.picture ? fill(make("img", { alt: `Training image ${one.id}`, width: 128, height: 128 }), one.picture) : null),
        make("div", {}, make("strong", {}, one.labels.join(", ") || "no label"), make("span", { class: "small soft line" }, given(one.id)), make("span", { class: "small soft line" }, `likeness ${one.similarity.toFixed(2)}`))))),
  ];
}

page.addEventListener("sets", () => {
  if (!now.row) {
    dispose();
    find("card").hidden = true;
    document.body.classList.remove("opened");
  }
});
