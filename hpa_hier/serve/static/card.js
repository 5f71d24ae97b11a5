// Card: the open image, with its picture, answer, reasons, heat maps, nearest training images and correction.

import { Correcting } from "./correcting.js";
import { find, given, make, tabs } from "./element.js";
import { readTree } from "./ensembles.js";
import { HeatMaps } from "./heatmaps.js";
import { listed, neighbour, reveal } from "./list.js";
import { Picture } from "./picture.js";
import { complain, json, patiently } from "./requests.js";
import { now, page, tell } from "./sets.js";
import { likeliest, neighbours, reasons, verdict, warning } from "./told.js";
import { Tree } from "./tree.js";

const TABS = [
  ["why", "Why"],
  ["places", "Places"],
  ["nearest", "Nearest"],
  ["correct", "Correct"],
];
let tab = "why"; // kept from image to image
let open = null; // what draw() made of the open image

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
  if (key)
    find("rows")
      .querySelector(`[data-key="${CSS.escape(key)}"] button.open`)
      ?.focus();
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
  const places = new Tree({
    tree,
    label: "Places, with how likely each is. Enter shows its heat map",
    nodes,
    path: way,
    act: (node) => show(node),
  });
  const show = (node) => {
    places.choose(node);
    picture.element.scrollIntoView({ block: "nearest" });
    return heat.show(node);
  };
  heat.closed = () => places.choose(null);
  const correcting = new Correcting({
    set,
    card,
    tree,
    nodes,
    path: way,
    next: (typing) => goOn(typing),
    stay: (row) => openCard(row, { focus: false, push: false }),
  });
  const list = make(
    "div",
    { role: "tablist", "aria-label": "About this image", class: "tabs" },
    TABS.map(([name, title]) =>
      make(
        "button",
        {
          type: "button",
          role: "tab",
          id: `tab-${name}`,
          "aria-controls": `panel-${name}`,
          "aria-selected": name === tab,
          tabindex: name === tab ? 0 : -1,
        },
        title,
      ),
    ),
  );
  const panel = (name, ...children) =>
    make(
      "div",
      {
        role: "tabpanel",
        id: `panel-${name}`,
        "aria-labelledby": `tab-${name}`,
        hidden: name !== tab,
        class: "panel",
      },
      children,
    );
  const why = panel("why", make("p", { class: "soft" }, "Reading …"));
  const nearest = panel(
    "nearest",
    make("p", { class: "soft" }, "Looking for the nearest training images. This can take minutes the first time …"),
  );
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
        verdict(card),
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
    (explanation) => why.replaceChildren(...reasons(explanation, card, set.job.ensemble)),
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
  const button = (text, label, by, key) =>
    make(
      "button",
      {
        type: "button",
        "aria-label": label,
        title: `${label} (${key})`,
        disabled: !rows[at + by],
        onclick: () => step(by),
      },
      text,
    );
  const files = [...new Set(card.source ?? [])].filter((name) => !name.startsWith(card.id)); // what the id does not say
  return make(
    "header",
    { class: "card-head" },
    make("button", { type: "button", class: "back", onclick: () => closeCard() }, "Back to the list"),
    make(
      "div",
      { class: "title" },
      make("h2", {}, given(card.id)),
      files.length ? make("p", { class: "small soft files" }, given(files.join(", "))) : null,
    ),
    make(
      "div",
      { class: "steps" },
      make("span", { class: "small soft" }, at < 0 ? "" : `${at + 1} of ${rows.length}`),
      button("←", "Previous image", -1, "k"),
      button("→", "Next image", 1, "j"),
    ),
  );
}

function makeOpener(places) {
  let all = false;
  const button = make(
    "button",
    {
      type: "button",
      class: "plain small",
      onclick: () => {
        all = !all;
        places.openAll(all);
        button.textContent = all ? "Close all groups" : "Open all groups";
      },
    },
    "Open all groups",
  );
  return make(
    "p",
    { class: "small soft" },
    "Choose a place for its heat map. Bold: in the answer. The mark: what a place needs. ",
    button,
  );
}

page.addEventListener("sets", () => {
  if (!now.row) {
    dispose();
    find("card").hidden = true;
    document.body.classList.remove("opened");
  }
});
