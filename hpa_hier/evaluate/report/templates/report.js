"use strict";
// Tables with data-sort get buttons in their heads; everything is readable without.
for (const table of document.querySelectorAll("table[data-sort]")) {
  const body = table.tBodies[0];
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    const number = Number(text.replaceAll(",", "").replace("\u2212", "-"));
    return text !== "" && Number.isFinite(number) ? number : text;
  };
  const compare = (one, other) =>
    typeof one === "number" && typeof other === "number" ? one - other
      : typeof one === "number" ? -1
      : typeof other === "number" ? 1
      : one.localeCompare(other);
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const falling = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const rows = [...body.rows].sort((a, b) => compare(value(a, column), value(b, column)));
      body.append(...(falling ? rows.reverse() : rows));
    });
  });
}
// A search field with data-filter shows those items of its container whose data-text holds all its words.
for (const field of document.querySelectorAll("input[data-filter]")) {
  const items = [...document.querySelector(field.dataset.filter).querySelectorAll("[data-text]")];
  const told = document.querySelector(field.dataset.told ?? "#none");
  const filter = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const item of items) {
      item.hidden = !words.every((word) => item.dataset.text.toLowerCase().includes(word));
      shown += item.hidden ? 0 : 1;
    }
    if (told) told.textContent = words.length ? `${shown} of ${items.length}` : "";
  };
  field.addEventListener("input", filter);
  for (let one = field; one.hidden; one = one.parentElement) one.hidden = false;
}
// A link to a part that is folded up unfolds it.
const unfold = () => {
  const part = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (part instanceof HTMLDetailsElement) part.open = true;
};
addEventListener("hashchange", unfold);
unfold();
