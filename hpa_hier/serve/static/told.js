// Told: what is said about an image, as elements: warnings, the likeliest places, the answer, why, nearest images.

import { bar, given, make } from "./element.js";
import { fill } from "./thumbnails.js";
import { answer, capital, needs, percent } from "./words.js";

/** What is doubtful about the picture itself. */
export function warning(card) {
  if (!card.doubtful.length) return null;
  return make(
    "div",
    { class: card.unlike ? "note warned" : "note" },
    make("h3", {}, card.unlike ? "Unlike what was learned from" : "Doubtful about this picture"),
    make(
      "ul",
      {},
      card.doubtful.map((text) => make("li", {}, capital(text.replace(/^unlike what was learned from: /, "")))),
    ),
  );
}

/** The likeliest places with bars, and what each needs. */
export function likeliest(card) {
  const nodes = new Map(card.nodes.map((one) => [one.node, one]));
  return make(
    "section",
    { class: "likeliest", "aria-label": "The likeliest places" },
    make("h3", {}, card.places.length > 1 ? `The ${card.places.length} likeliest places` : "The likeliest place"),
    make(
      "ul",
      {},
      card.places.map(({ node, prob }) => {
        const { threshold, present, never } = nodes.get(node) ?? {};
        return make(
          "li",
          {},
          make(
            "span",
            { class: "line" },
            make("span", { class: present ? "name present" : "name" }, node),
            make("span", { class: "prob" }, percent(prob)),
          ),
          bar(prob, never ? null : threshold, present),
          make(
            "span",
            { class: "small soft" },
            [needs({ threshold, never }), present ? "in the answer" : "not in the answer"].filter(Boolean).join("; "),
          ),
        );
      }),
    ),
  );
}

/** The answer, the safe answer, the correction, and the caution of the ensemble. */
export function verdict(card) {
  const nearest = !card.labels.length && card.fallback ? `; the nearest is ${card.fallback}` : "";
  const safe = card.safe
    ? [card.safe]
    : [
        make(
          "span",
          { class: "soft" },
          card.safe_reason === "unsure" ? "none: no place is certain enough" : none(card.safe_reason),
        ),
      ];
  return make(
    "section",
    { class: "verdict", "aria-label": "The answer" },
    make(
      "dl",
      {},
      make("dt", {}, "Answer"),
      make("dd", {}, answer(card) + nearest),
      make("dt", {}, "Safe answer"),
      make("dd", {}, safe),
      make("dt", {}, "Doubt"),
      make(
        "dd",
        {},
        card.doubt.toFixed(2),
        make("span", { class: "small soft" }, " places expected wrong or missed"),
      ),
      ...(card.corrected
        ? [
            make("dt", {}, "Your label"),
            make("dd", {}, card.corrected.unsure ? "unsure" : card.corrected.labels.join(", ")),
          ]
        : []),
    ),
    card.caution ? make("p", { class: "caution small" }, `${capital(card.caution)}.`) : null,
  );
}

const none = (reason) => (reason ? `none: ${reason.replace(/^no safe answer: /, "")}` : "none for this image");

/** Why, in words. */
export function reasons({ reasons, text }, card, name) {
  if (!reasons) return [make("pre", { class: "why" }, text)];
  const said = new Set([...card.doubtful, card.caution, card.safe_reason]);
  const doubts = [...reasons.warnings, ...reasons.doubts, ...reasons.notes].filter(
    (one, at, all) => !said.has(one) && all.indexOf(one) === at,
  );
  const indent = Math.min(...reasons.why.map((line) => line.search(/\S/)).filter((at) => at >= 0));
  return [
    reasons.summary ? make("p", { class: "summary" }, reasons.summary) : null,
    make(
      "ul",
      { class: "walk" },
      reasons.why.map((line) => {
        const item = make("li", {}, line.trim());
        item.style.setProperty("--depth", Math.max(0, (line.search(/\S/) - indent) / 2));
        return item;
      }),
    ),
    doubts.length ? make("h3", {}, "What is doubtful") : null,
    doubts.length
      ? make(
          "ul",
          {},
          doubts.map((one) => make("li", {}, capital(one))),
        )
      : null,
    make("p", { class: "small soft" }, `Answered by ${reasons.members ?? ""} networks of ${name}.`),
  ].filter(Boolean);
}

/** The nearest training images, or why there are none. */
export function neighbours({ images, reason }) {
  if (!images.length)
    return [make("p", {}, `There are none: ${reason ?? "no reason was given"}.`.replace("..", "."))];
  return [
    make(
      "p",
      { class: "small soft" },
      "The training images that look most alike to the networks, with the labels they were given.",
    ),
    make(
      "ul",
      { class: "nearest" },
      images.map((one) =>
        make(
          "li",
          {},
          make(
            "div",
            { class: "frame" },
            one.picture
              ? fill(make("img", { alt: `Training image ${one.id}`, width: 128, height: 128 }), one.picture)
              : null,
          ),
          make(
            "div",
            {},
            make("strong", {}, one.labels.join(", ") || "no label"),
            make("span", { class: "small soft line" }, given(one.id)),
            make("span", { class: "small soft line" }, `likeness ${one.similarity.toFixed(2)}`),
          ),
        ),
      ),
    ),
  ];
}
