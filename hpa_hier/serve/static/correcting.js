// Correcting: the places that are really there, checked in the tree or found by name, kept by the server.

import { make, say, toast } from "./element.js";
import { complain, json, patiently, send } from "./requests.js";
import { replaceRow } from "./sets.js";
import { Tree } from "./tree.js";
import { countCorrections } from "./corrections.js";

export class Correcting {
  constructor({ set, card, tree, nodes, path, next, stay }) {
    Object.assign(this, { set, card, next, stay });
    const before = card.corrected;
    const checked = new Set(before && !before.unsure ? before.labels : card.labels);
    this.tree = new Tree({
      tree,
      label: "Places that can be checked",
      nodes,
      path,
      checked,
      act: (node) => this.toggle(node),
    });
    this.search = make("input", {
      type: "search",
      id: "find-place",
      placeholder: "Find a place, Enter checks it",
      autocomplete: "off",
      oninput: () => this.filter(),
      onkeydown: (event) => this.key(event),
    });
    this.note = make("input", {
      id: "note",
      value: before?.note ?? "",
      autocomplete: "off",
      maxlength: 500,
      onkeydown: (event) => event.key === "Enter" && this.save(),
    });
    this.chosen = make("p", { class: "chosen" });
    this.found = make("p", { class: "small soft", "aria-live": "polite" });
    this.keep = make("button", { type: "button", class: "main", onclick: () => this.save() }, "Save, next image");
    this.element = make(
      "div",
      { class: "correcting" },
      make(
        "p",
        { class: "small soft" },
        before
          ? before.unsure
            ? "Marked unsure."
            : `Corrected to ${before.labels.join(", ")}.`
          : "The answer is checked; change what is wrong, or save it as it is if it is right.",
      ),
      make("label", { for: "find-place", class: "unseen" }, "Find a place"),
      this.search,
      this.found,
      this.chosen,
      this.tree.element,
      make("label", { for: "note" }, "Note"),
      this.note,
      make(
        "div",
        { class: "buttons stuck" },
        this.keep,
        make("button", { type: "button", onclick: () => this.unsure() }, "Unsure, next image"),
        before ? make("button", { type: "button", onclick: () => this.remove() }, "Remove the correction") : null,
      ),
    );
    this.tell();
  }

  toggle(node) {
    this.tree.check(node);
    this.tell();
    say(`${node} ${this.tree.checked.has(node) ? "checked" : "not checked"}`);
  }

  tell() {
    const labels = [...this.tree.checked];
    this.chosen.replaceChildren(
      ...(labels.length
        ? labels.map((node) =>
            make(
              "button",
              { type: "button", class: "chip", "aria-label": `Remove ${node}`, onclick: () => this.toggle(node) },
              node,
              make("span", { "aria-hidden": "true" }, " ×"),
            ),
          )
        : ["No place is checked."]),
    );
    this.keep.disabled = !labels.length;
  }

  filter() {
    const found = this.tree.filter(this.search.value);
    this.found.textContent = this.search.value.trim()
      ? found.length
        ? `Enter: ${found[0]}`
        : "No place has this name."
      : "";
    return found;
  }

  key(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey || !this.search.value.trim())) {
      event.preventDefault();
      this.save();
    } else if (event.key === "Enter") {
      event.preventDefault();
      const [first] = this.filter();
      if (!first) return;
      if (!this.tree.checked.has(first)) this.toggle(first);
      this.search.value = "";
      this.filter();
    } else if (event.key === "Escape" && this.search.value) {
      event.stopPropagation();
      this.search.value = "";
      this.filter();
    } else if (event.key === "ArrowDown") {
      event.preventDefault();
      const [first] = this.tree.visible();
      if (first) this.tree.focus(first);
    }
  }

  save() {
    const labels = [...this.tree.checked];
    if (labels.length)
      this.put({ labels, note: this.note.value.trim() }, `Saved for ${this.card.id}: ${labels.join(", ")}.`);
  }

  unsure() {
    this.put({ unsure: true, note: this.note.value.trim() }, `${this.card.id} is marked unsure; no label is kept.`);
  }

  async put(body, said) {
    const path = `/jobs/${this.set.id}/samples/${this.card.key}/correction`;
    const before = this.card.corrected;
    try {
      const row = await patiently(() => send("PUT", path, body));
      const typing = [this.search, this.note].includes(document.activeElement);
      const moved = await this.next(typing); // before a filter takes the row away
      replaceRow(this.set, row);
      if (!moved) this.stay(row);
      countCorrections();
      const undo = async () => {
        try {
          const old = before ? await send("PUT", path, before) : await json(path, { method: "DELETE" });
          replaceRow(this.set, old);
          countCorrections();
          say("Undone");
        } catch (error) {
          complain(error);
        }
      };
      toast(said + (moved ? "" : " That was the last image."), "Undo", undo);
    } catch (error) {
      complain(error);
    }
  }

  async remove() {
    try {
      const row = await patiently(() =>
        json(`/jobs/${this.set.id}/samples/${this.card.key}/correction`, { method: "DELETE" }),
      );
      replaceRow(this.set, row);
      countCorrections();
      toast("The correction is removed.");
      this.stay(row);
    } catch (error) {
      complain(error);
    }
  }
}
