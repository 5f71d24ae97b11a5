// Thumbnails: small pictures, fetched when they come into sight, a few at a time, and the latest kept.

import { ask } from "./requests.js";

const AT_ONCE = 6;
const KEPT = 400; // object URLs
const kept = new Map(); // path → object URL, the oldest first
const waiting = [];
let running = 0;

const watcher = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      target.wanted = isIntersecting;
      if (isIntersecting) waiting.push(target);
    }
    next();
  },
  { rootMargin: "300px" },
);

/** Give an <img> its picture as soon as it is in sight. */
export function fill(image, path) {
  image.path = path;
  if (kept.has(path)) image.src = kept.get(path);
  else watcher.observe(image);
  return image;
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    const image = waiting.pop(); // the latest in sight first
    if (!image.wanted || image.hasAttribute("src")) continue;
    running += 1;
    load(image).finally(() => {
      running -= 1;
      next();
    });
  }
}

async function load(image) {
  const { path } = image;
  try {
    if (!kept.has(path)) {
      kept.set(path, URL.createObjectURL(await (await ask(path)).blob()));
      if (kept.size > KEPT) forget();
    }
    image.src = kept.get(path);
    watcher.unobserve(image);
  } catch {
    image.classList.add("broken"); // the row says what is known without it
  }
}

function forget() {
  const [path, url] = kept.entries().next().value;
  URL.revokeObjectURL(url); // an <img> that shows it goes on showing it
  kept.delete(path);
}
