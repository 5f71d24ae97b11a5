// Words: numbers as people read them.

/** 0.931 → "93 %", as the report and `explain` write it. */
export function percent(share) {
  if (share < 0.01) return "below 1 %";
  return share > 0.99 ? "above 99 %" : `${Math.round(100 * share)} %`;
}

/** What a place needs to be in an answer; "" where the likeliest is taken. */
export function needs({ threshold, never }) {
  if (never) return "never in an answer: no image of it to learn from";
  return threshold === null || threshold === undefined ? "" : `needs ${percent(threshold)}`;
}

export const DOUBT = "About how many places are expected to be wrong or missed, by the probabilities";

/** 3, "image" → "3 images". */
export const count = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;

/** 75 → "about 1 min". */
export function about(seconds) {
  if (seconds < 1.5) return "about 1 s";
  if (seconds < 90) return `about ${Math.round(seconds)} s`;
  return seconds < 5400 ? `about ${Math.round(seconds / 60)} min` : `about ${Math.round(seconds / 3600)} h`;
}

/** 268435456 → "256 MB". */
export function bytes(number) {
  const power = Math.min(Math.floor(Math.log2(Math.max(number, 1)) / 10), 3);
  return `${Math.round(number / 2 ** (10 * power))} ${["bytes", "KB", "MB", "GB"][power]}`;
}

/** "pretrained", Date → "13:45". */
export const clock = (date) => date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

/** A row's answer: its places, else the nearest that did not reach its threshold. */
export function answer(row) {
  if (row.labels.length) return row.labels.join(", ");
  const open = row.groups.length ? row.groups.at(-1) : "no place";
  return row.groups.length ? `${open}, no finer place` : "no place reaches its threshold";
}

export const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);
