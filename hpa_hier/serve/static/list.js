// List: the images of a set as a table or as pictures, ordered and filtered; rows are drawn as they are needed.

import { bar, find, given, make, tabs } from "./element.js";
import { readTree, tag } from "./ensembles.js";
import { now, page } from "./sets.js";
import { fill } from "./thumbnails.js";
import { answer, count, DOUBT, percent } from "./words.js";

const STEP = 60; // rows drawn at a time
const ORDERS = {
  doubt: ["Doubtful first", (a, b) => b.unlike - a.unlike || b.doubt - a.doubt],
  sure: ["Certain first", (a, b) => a.unlike - b.unlike || a.doubt - b.doubt],
  name: ["By name", (a, b) => compare(a.id, b.id)],
  place: [
    "By place",
    (a, b) => compare(likeliest(a).node, likeliest(b).node) || likeliest(b).prob - likeliest(a).prob,
  ],
  prob: ["Likeliest first", (a, b) => likeliest(b).prob - likeliest(a).prob],
  safe: ["By safe answer", (a, b) => compare(a.safe ?? "~", b.safe ?? "~")],
};
const WHICH = {
  all: ["All images", () => true],
  doubtful: ["Doubtful", (row) => row.unlike || row.doubtful.length > 0 || !row.labels.length],
  unlike: ["Unlike what was learned", (row) => row.unlike],
  none: ["No place reaches its threshold", (row) => !row.labels.length],
  open: ["Not looked at yet", (row) => !row.corrected],
  corrected: ["Corrected", (row) => row.corrected && !row.corrected.unsure],
  unsure: ["Marked unsure", (row) => row.corrected?.unsure],
};
const HEADS = [
  // of the table: title, the order it sorts by, class
  ["Image", "name", ""],
  ["Answer", null, "wide"],
  ["Likeliest place", "place", "best"],
  ["Safe answer", "safe", "wide"],
  ["Doubt", "doubt", "n"],
];
const end = new IntersectionObserver((entries) => entries.at(-1).isIntersecting && ((drawn += STEP), draw()), {
  rootMargin: "600px",
});
const collator = new Intl.Collator("en", { numeric: true });
const compare = (a, b) => collator.compare(a, b);
const likeliest = (row) => row.places[0] ?? { node: "", prob: 0 };

let view = "tab-table";
let drawn = STEP;
let shown = []; // rows that pass the filters, in order
const made = new Map(); // set/key/view → [row, element]

/** Rows in the order in which they are listed. */
export const listed = () => shown;

/** Build what stays, and listen. */
export function prepareList(open) {
  find("which").replaceChildren(...Object.entries(WHICH).map(([value, [title]]) => make("option", { value }, title)));
  find("sort").replaceChildren(...Object.entries(ORDERS).map(([value, [title]]) => make("option", { value }, title)));
  for (const id of ["text", "place", "which", "sort"]) {
    find(id).addEventListener("input", () => ((drawn = STEP), draw()));
  }
  tabs(find("view-tabs"), (id) => ((view = id), draw()));
  find("more").addEventListener("click", () => ((drawn += STEP), draw()));
  end.observe(find("more"));
  find("rows").addEventListener("click", (event) => {
    const row = event.target.closest("[data-key]");
    if (row) open(now.set.rows.get(row.dataset.key));
  });
  find("rows").addEventListener("keydown", move);
  let planned = false;
  page.addEventListener("rows", () => {
    if (planned) return;
    planned = true; // many rows at once are drawn once
    requestAnimationFrame(() => ((planned = false), draw()));
  });
  page.addEventListener("sets", () => ((drawn = STEP), offerPlaces()));
  page.addEventListener("card", mark);
}

/** Arrow keys go from row to row. */
function move(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const button = document.activeElement?.closest("button.open");
  if (!step || !button || event.altKey || event.ctrlKey || event.metaKey) return;
  const buttons = [...find("rows").querySelectorAll("[role=tabpanel]:not([hidden]) button.open")];
  const next = buttons[buttons.indexOf(button) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
}

async function offerPlaces() {
  const place = find("place");
  const before = place.value;
  place.replaceChildren(make("option", { value: "" }, "All places"));
  if (!now.set) return;
  const tree = await readTree(now.set.job.ensemble);
  const depths = new Map();
  for (const { node, parents } of tree) depths.set(node, parents.length ? (depths.get(parents[0]) ?? 0) + 1 : 0);
  place.append(...tree.map(({ node }) => make("option", { value: node }, "\u2003".repeat(depths.get(node)) + node)));
  place.value = tree.some(({ node }) => node === before) ? before : "";
}

function passes(row) {
  const words = find("text").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const place = find("place").value;
  const text = `${row.id} ${row.name} ${row.labels.join(" ")} ${likeliest(row).node} ${row.safe ?? ""}`.toLowerCase();
  const places = [...row.labels, ...row.groups, row.fallback, ...(row.corrected?.labels ?? [])];
  return (
    words.every((word) => text.includes(word)) &&
    (!place || places.includes(place)) &&
    WHICH[find("which").value][1](row)
  );
}

/** Draw the list anew; rows that are there and unchanged are kept. */
export function draw() {
  const all = now.set ? [...now.set.rows.values()] : [];
  const order = ORDERS[find("sort").value][1];
  shown = all.filter(passes).sort((a, b) => order(a, b) || compare(a.id, b.id));
  if (now.row) drawn = Math.max(drawn, shown.findIndex((row) => row.key === now.row.key) + 10);
  const focused = document.activeElement?.closest?.("[data-key]")?.dataset.key;
  const some = shown.slice(0, drawn);
  const panel = find(view === "tab-table" ? "panel-table" : "panel-pictures");
  const list = view === "tab-table" ? table(panel) : gallery(panel);
  place(
    list,
    some.map((row) => element(row)),
  );
  if (focused) list.querySelector(`[data-key="${CSS.escape(focused)}"] button.open`)?.focus({ preventScroll: true });
  find("more").hidden = some.length === shown.length;
  end.unobserve(find("more")); // looked at again, as it may still be in sight
  end.observe(find("more"));
  find("shown").textContent =
    shown.length === all.length ? count(all.length, "image") : `${shown.length} of ${count(all.length, "image")}`;
  find("none").hidden = !all.length || shown.length > 0;
  find("none").textContent = "No image fits these filters.";
  find("list").classList.toggle("few", all.length < 2);
  mark();
}

/** Put the elements into the list with as few moves as can be, so that what has the focus or is scrolled to stays. */
function place(list, elements) {
  const wanted = new Set(elements);
  for (const child of [...list.children]) if (!wanted.has(child)) child.remove();
  elements.forEach((one, at) => list.children[at] !== one && list.insertBefore(one, list.children[at] ?? null));
}

function element(row) {
  const id = `${now.set.id}/${row.key}/${view}`;
  const [before, old] = made.get(id) ?? [];
  if (before === row) return old;
  const element = view === "tab-table" ? tableRow(row) : picture(row);
  made.set(id, [row, element]);
  return element;
}

function table(panel) {
  if (!panel.firstChild) {
    const heads = HEADS.map(([title, order, kind]) =>
      make(
        "th",
        { scope: "col", class: kind, "data-order": order ?? false },
        order
          ? make(
              "button",
              {
                type: "button",
                class: "head",
                title: title === "Doubt" ? DOUBT : null,
                onclick: () => sortBy(order),
              },
              title,
              make("span", { class: "arrow", "aria-hidden": "true" }),
            )
          : title,
      ),
    );
    panel.append(
      make(
        "table",
        { class: "images" },
        make("caption", { class: "unseen" }, `Images with their answers. Doubt: ${DOUBT}.`),
        make(
          "thead",
          {},
          make("tr", {}, make("th", { class: "thumb" }, make("span", { class: "unseen" }, "Picture")), heads),
        ),
        make("tbody"),
      ),
    );
  }
  const sort = find("sort").value;
  for (const head of panel.querySelectorAll("th[data-order]")) {
    const up = { doubt: "sure" }[head.dataset.order];
    const direction =
      sort === head.dataset.order ? (up ? "descending" : "ascending") : sort === up ? "ascending" : null;
    if (direction) head.setAttribute("aria-sort", direction);
    else head.removeAttribute("aria-sort");
  }
  return panel.querySelector("tbody");
}

function sortBy(order) {
  const sort = find("sort");
  sort.value = order === "doubt" && sort.value === "doubt" ? "sure" : order;
  drawn = STEP;
  draw();
}

const thumbnail = (row) =>
  fill(make("img", { alt: "", width: 128, height: 128 }), `/jobs/${now.set.id}/samples/${row.key}/thumbnail.png`);

/** What is to be said of a row at a glance. */
function marks(row) {
  return [
    row.unlike
      ? make("span", { class: "mark warn", title: row.doubtful.join("; ") }, "unlike training images")
      : null,
    row.corrected
      ? make(
          "span",
          { class: "mark good", title: row.corrected.labels?.join(", ") },
          row.corrected.unsure ? "unsure" : "corrected",
        )
      : null,
  ];
}

function tableRow(row) {
  const best = likeliest(row);
  return make(
    "tr",
    { "data-key": row.key },
    make("td", { class: "thumb" }, thumbnail(row)),
    make(
      "th",
      { scope: "row", class: "name" },
      make("button", { type: "button", class: "open", title: row.id }, given(row.id)),
      make("span", { class: "answer" }, answer(row)),
      make("span", { class: "marks" }, marks(row)),
    ),
    make("td", { class: "wide" }, answer(row)),
    make(
      "td",
      { class: "best" },
      make(
        "span",
        { class: "line", title: best.node },
        make("span", { class: "place" }, best.node),
        make("span", { class: "prob" }, percent(best.prob)),
      ),
      bar(best.prob, null, row.labels.includes(best.node)),
    ),
    make("td", { class: "wide" }, row.safe ?? make("span", { class: "soft" }, "none")),
    make("td", { class: "n" }, row.doubt.toFixed(2)),
  );
}

function gallery(panel) {
  if (!panel.firstChild) panel.append(make("ul", { class: "gallery" }));
  return panel.firstChild;
}

function picture(row) {
  const best = likeliest(row);
  return make(
    "li",
    { "data-key": row.key },
    make("div", { class: "frame" }, thumbnail(row)),
    make("button", { type: "button", class: "open", title: row.id }, given(row.id)),
    make("span", { class: "answer" }, answer(row)),
    make(
      "span",
      { class: "line soft" },
      make("span", {}, best.node),
      make("span", { class: "prob" }, percent(best.prob)),
    ),
    bar(best.prob, null, row.labels.includes(best.node)),
    make("span", { class: "soft" }, `doubt ${row.doubt.toFixed(2)}`),
    make("span", { class: "marks" }, marks(row), tag(now.set.job.ensemble)),
  );
}

/** Mark the image that is open. */
function mark() {
  for (const element of find("rows").querySelectorAll(".opened")) {
    element.classList.remove("opened");
    element.querySelector("button.open").removeAttribute("aria-current");
  }
  for (const element of now.row ? find("rows").querySelectorAll(`[data-key="${CSS.escape(now.row.key)}"]`) : []) {
    element.classList.add("opened");
    element.querySelector("button.open").setAttribute("aria-current", "true");
  }
}

/** Scroll to the open image in the list. */
export function reveal() {
  find("rows").querySelector(".opened")?.scrollIntoView({ block: "nearest" });
}

/** The image that comes `step` after the open one in the list. */
export function neighbour(step) {
  const at = shown.findIndex((row) => row.key === now.row?.key);
  return at < 0 ? shown[0] : shown[at + step];
}
