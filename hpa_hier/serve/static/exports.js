// Exports: the answers of a set as files.

import { find, make, toast } from "./element.js";
import { listed } from "./list.js";
import { complain, save } from "./requests.js";
import { now, over } from "./sets.js";
import { count } from "./words.js";

const FILES = [
  ["predictions.csv", "CSV: answers", "one row an image: likeliest places, answer, safe answer, warnings"],
  ["probabilities.csv", "CSV: every place", "one column a place, with its probability"],
  ["answers.xlsx", "Excel", "answers, probabilities and your corrections in one workbook"],
  ["answers.json", "JSON", "all of it, for programs"],
  ["submission.csv", "CSV: as the competition takes it", "Id,Predicted"],
  ["rejected.csv", "CSV: what could not be used", "each file with its reason"],
];
const PAGES = 100; // images of a PDF

export function prepareExports() {
  const button = find("open-exports");
  const popup = find("exports");
  const close = () => ((popup.hidden = true), button.setAttribute("aria-expanded", "false"));
  button.addEventListener("click", () => {
    if (!popup.hidden) return close();
    popup.replaceChildren(...choices(close));
    popup.hidden = false;
    button.setAttribute("aria-expanded", "true");
    popup.querySelector("button")?.focus();
  });
  document.addEventListener("click", (event) => !event.target.closest(".menu") && close());
  popup.addEventListener(
    "keydown",
    (event) => event.key === "Escape" && (event.stopPropagation(), close(), button.focus()),
  );
  popup.addEventListener(
    "focusout",
    (event) => event.relatedTarget && !event.relatedTarget.closest(".menu") && close(),
  );
}

function choices(close) {
  const { set } = now;
  if (!set?.rows.size) return [make("p", { class: "small" }, "There is no answer to export yet.")];
  const partial = over(set) ? "" : "partial=1";
  const get = async (file, query) => {
    close();
    toast(`Writing ${file} …`);
    try {
      await save(`/jobs/${set.id}/export/${file}?${[query, partial].filter(Boolean).join("&")}`);
      toast(`${file} is saved with your downloads.`);
    } catch (error) {
      complain(error);
    }
  };
  const button = (title, words, run) =>
    make(
      "button",
      { type: "button", class: "choice", onclick: run },
      make("strong", {}, title),
      make("span", { class: "small soft" }, words),
    );
  const all = listed();
  const rows = all.slice(0, PAGES);
  const keys = `keys=${rows.map((row) => row.key).join(",")}`;
  return [
    partial ? make("p", { class: "small soft" }, "Answers are still coming; a file has those that are there.") : null,
    ...FILES.map(([file, title, words]) => button(title, words, () => get(file, ""))),
    rows.length
      ? button(
          "PDF: pictures",
          `${rows.length < all.length ? `the first ${PAGES} of ` : ""}${count(all.length, "image")} as listed`,
          () => get("figures.pdf", keys),
        )
      : null,
    now.row ? button("PDF: this image", "the open one", () => get("figures.pdf", `keys=${now.row.key}`)) : null,
  ].filter(Boolean);
}
