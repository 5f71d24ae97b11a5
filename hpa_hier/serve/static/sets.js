// Sets: what was sent together, its rows as they become ready, and which set and image are looked at.

import { json, patiently, Problem } from "./requests.js";

const QUICK = 300; // ms between two questions while answers come
const SLOW = 1500;
const OVER = ["done", "failed", "cancelled"];

export const sets = new Map(); // job → set
export const page = new EventTarget(); // "sets", "rows", "progress", "card"
export const now = { set: null, row: null };

export const tell = (name) => page.dispatchEvent(new Event(name));
export const over = (set) => OVER.includes(set.job.state);

/** Begin to follow a job; `sent` is what to send again to another ensemble: files or paths, with the options. */
export function follow(job, sent = null) {
  const created = job.created ? new Date(job.created) : new Date();
  const set = { id: job.job, job, rows: new Map(), after: 0, sent, created, refused: [], sending: null };
  sets.set(set.id, set);
  remember();
  return set;
}

/** Look at a set. */
export function look(set) {
  now.set = set;
  now.row = null;
  tell("sets");
  tell("rows");
  tell("card");
}

/** Fetch rows until the set is answered. */
export async function watch(set) {
  if (set.watched) return;
  set.watched = true;
  try {
    for (;;) {
      const { job, samples, next } = await patiently(() =>
        json(`/jobs/${set.id}/samples?after=${set.after}&limit=500`),
      );
      if (!sets.has(set.id)) return;
      set.job = job;
      set.after = next;
      for (const row of samples) set.rows.set(row.key, row);
      if (set === now.set) {
        if (samples.length) tell("rows");
        tell("progress");
      }
      if (over(set) && !samples.length) return;
      if (!over(set)) await new Promise((resolve) => setTimeout(resolve, samples.length ? QUICK : slower(set)));
    }
  } catch (error) {
    set.job = { ...set.job, state: "failed", error: expired(error) };
    if (set === now.set) tell("progress");
    forget(set, false);
  } finally {
    set.watched = false;
  }
}

const slower = (set) => (set.job.ready ? QUICK : Math.min(SLOW, (set.pause = (set.pause ?? QUICK) * 1.3)));

function expired(error) {
  return error instanceof Problem && error.status === 404
    ? "The server no longer has this set; it keeps them for a while. Corrections are kept. Add the images again."
    : error.message;
}

/** Replace a row, as after a correction. */
export function replaceRow(set, row) {
  set.rows.set(row.key, row);
  if (now.set === set) {
    if (now.row?.key === row.key) now.row = row;
    tell("rows");
  }
}

/** Remember which sets are this tab's and the paths they are from; they are here after the page is loaded again. */
function remember() {
  const kept = [...sets.values()].map(({ id, sent }) => [id, sent?.paths ? sent : null]);
  try {
    sessionStorage.setItem("sets", JSON.stringify(kept));
  } catch {
    // they are forgotten on the next load
  }
}

export function forget(set, removed = true) {
  if (removed) sets.delete(set.id);
  remember();
}

/** This tab's sets from before it was loaded again, and the others that the server has. */
export async function earlier() {
  let own = new Map();
  try {
    own = new Map(JSON.parse(sessionStorage.getItem("sets") ?? "[]"));
  } catch {
    // none
  }
  const { jobs } = await json("/jobs");
  const kept = jobs.filter((job) => job.state !== "open" && job.state !== "cancelled");
  const mine = kept.filter((job) => own.has(job.job)).map((job) => ({ job, sent: own.get(job.job) }));
  return { mine, others: kept.filter((job) => !own.has(job.job)) };
}
