// Tree: the places below their groups, with probabilities, moved through by the keyboard; to read or to check.

import { bar, make } from "./element.js";
import { needs, percent } from "./words.js";

/** Can a node be a label of its own: a leaf, or a group that is annotated without saying which of its places? */
const canBeLabel = (node) => node.leaf || (node.label !== null && node.label !== undefined);

/** Its places below the nodes of a tree; an organelle with a single place is that place. */
function grow(tree) {
  const below = new Map(tree.map(({ node }) => [node, []]));
  const roots = [];
  for (const one of tree) (one.parents.length ? below.get(one.parents[0]) : roots).push(one);
  const build = (one) => {
    const children = below.get(one.node).map(build);
    if (children.length === 1 && !canBeLabel(one))
      return { ...children[0], stands: [one.node, ...children[0].stands] };
    return { ...one, children, stands: [one.node] };
  };
  return roots.map(build);
}

export class Tree {
  /**
   * @param {object[]} tree of the ensemble, parents before children
   * @param {string} label that screen readers say
   * @param {Map} nodes name → {prob, threshold, present, never}
   * @param {Set} path nodes on the way to the likeliest place
   * @param {function} act with a node, when it is chosen
   * @param {Set|null} checked labels; null: nothing can be checked
   */
  constructor({ tree, label, nodes, path, act, checked = null }) {
    Object.assign(this, { nodes, path, act, checked, items: new Map(), chosen: null, words: "" });
    this.roots = grow(tree);
    this.element = make("ul", {
      role: "tree",
      "aria-label": label,
      class: "tree",
      "aria-multiselectable": checked ? "true" : null,
    });
    this.element.append(...this.roots.map((root) => this.item(root, 1)));
    this.items.values().next().value.element.tabIndex = 0;
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.element.addEventListener("click", (event) => this.click(event));
  }

  item(one, depth) {
    const facts = this.nodes.get(one.node) ?? { prob: 0, threshold: null, present: false, never: false };
    const lit = one.stands.some((node) => this.path.has(node));
    const can = this.checked ? canBeLabel(one) : true;
    const twist = one.children.length
      ? make("span", { class: "twist", "aria-hidden": "true" })
      : make("span", { class: "twist none" });
    const row = make(
      "div",
      { class: `node${facts.present ? " present" : ""}${lit ? " lit" : ""}` },
      twist,
      this.checked && can ? make("span", { class: "tick", "aria-hidden": "true" }) : null,
      make("span", { class: "name" }, one.node),
      one.parents.length > 1
        ? make("span", { class: "small soft" }, `also under ${one.parents.slice(1).join(", ")}`)
        : null,
      bar(facts.prob, facts.never ? null : facts.threshold, facts.present),
      make("span", { class: "prob" }, percent(facts.prob)),
    );
    const open = one.children.length > 0 && this.interesting(one, depth);
    const element = make(
      "li",
      {
        role: "treeitem",
        tabindex: -1,
        "data-node": one.node,
        "aria-expanded": one.children.length ? open : null,
        "aria-checked": this.checked && can ? this.checked.has(one.node) : null,
        "aria-selected": this.checked ? null : false,
        "aria-label": this.describe(one, facts, lit),
        title: one.description ?? null,
      },
      row,
    );
    this.items.set(one.node, { one, element });
    if (one.children.length)
      element.append(
        make(
          "ul",
          { role: "group" },
          one.children.map((child) => this.item(child, depth + 1)),
        ),
      );
    return element;
  }

  describe(one, facts, lit) {
    return [
      one.node,
      percent(facts.prob),
      facts.present ? "in the answer" : "",
      needs(facts),
      lit ? "on the way to the likeliest place" : "",
    ]
      .filter(Boolean)
      .join(", ");
  }

  /** Is there something to see below: what is in the answer, on the path, checked, or not unlikely? */
  interesting(one, depth) {
    if (depth === 1) return true;
    const within = (node) => [node, ...node.children.flatMap(within)];
    return within(one)
      .slice(1)
      .some(
        ({ node }) =>
          this.nodes.get(node)?.present ||
          this.path.has(node) ||
          this.checked?.has(node) ||
          this.nodes.get(node)?.prob >= 0.1,
      );
  }

  // What is in sight

  visible() {
    return [...this.element.querySelectorAll('[role="treeitem"]')].filter(
      (item) => !item.hidden && !item.parentElement.closest('[aria-expanded="false"]') && !item.closest("[hidden]"),
    );
  }

  focus(item) {
    for (const { element } of this.items.values()) element.tabIndex = -1;
    item.tabIndex = 0;
    item.focus();
  }

  /** Show nodes whose names have these words, and those above them; returns those that can be labels, in order. */
  filter(words) {
    this.words = words.trim().toLowerCase();
    const found = [];
    const visit = (one) => {
      const fits =
        !this.words ||
        [one.node, ...(one.aliases ?? []), ...one.stands].some((name) => name.toLowerCase().includes(this.words));
      const below = one.children.map(visit).some(Boolean);
      const { element } = this.items.get(one.node);
      element.hidden = !(fits || below);
      if (this.words && below) element.setAttribute("aria-expanded", "true");
      element.firstChild.classList.toggle("found", Boolean(this.words) && fits);
      if (fits && this.words && canBeLabel(one)) found.push(one.node);
      return fits || below;
    };
    this.roots.forEach(visit);
    const [first] = this.visible();
    if (first && !this.visible().some((item) => item.tabIndex === 0)) {
      for (const { element } of this.items.values()) element.tabIndex = -1;
      first.tabIndex = 0;
    }
    return found;
  }

  openAll(open) {
    for (const { one, element } of this.items.values())
      if (one.children.length) element.setAttribute("aria-expanded", open);
  }

  // Choosing and checking

  choose(node) {
    this.items.get(this.chosen)?.element.setAttribute("aria-selected", "false");
    this.chosen = node;
    this.items.get(node)?.element.setAttribute("aria-selected", "true");
  }

  check(node, on = !this.checked.has(node)) {
    if (on) this.checked.add(node);
    else this.checked.delete(node);
    this.items.get(node)?.element.setAttribute("aria-checked", on);
  }

  use(item) {
    const { one } = this.items.get(item.dataset.node);
    if (this.checked && !canBeLabel(one)) this.twist(item);
    else this.act(one.node);
  }

  twist(item) {
    if (item.hasAttribute("aria-expanded"))
      item.setAttribute("aria-expanded", item.getAttribute("aria-expanded") !== "true");
  }

  click(event) {
    const item = event.target.closest('[role="treeitem"]');
    if (!item) return;
    this.focus(item);
    if (event.target.closest(".twist:not(.none)")) this.twist(item);
    else this.use(item);
  }

  key(event) {
    const item = event.target.closest('[role="treeitem"]');
    if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
    const seen = this.visible();
    const at = seen.indexOf(item);
    const expanded = item.getAttribute("aria-expanded");
    const above = item.parentElement.closest('[role="treeitem"]');
    const done = {
      ArrowDown: () => seen[at + 1] && this.focus(seen[at + 1]),
      ArrowUp: () => seen[at - 1] && this.focus(seen[at - 1]),
      Home: () => this.focus(seen[0]),
      End: () => this.focus(seen.at(-1)),
      ArrowRight: () =>
        expanded === "false" ? this.twist(item) : expanded === "true" && seen[at + 1] && this.focus(seen[at + 1]),
      ArrowLeft: () => (expanded === "true" ? this.twist(item) : above && this.focus(above)),
      Enter: () => this.use(item),
      " ": () => this.use(item),
    }[event.key];
    if (!done) return;
    event.preventDefault();
    event.stopPropagation();
    done();
  }
}
