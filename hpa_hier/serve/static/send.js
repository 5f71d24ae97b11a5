// Sending: files and folders dropped or chosen, or a path on the server, as forms that the server takes.

import { find, given, make, say, toast } from "./element.js";
import { chosen, ensemble, readTree } from "./ensembles.js";
import { complain, json, patiently, send, upload } from "./requests.js";
import { follow, forget, look, now, tell, watch } from "./sets.js";
import { bytes, count } from "./words.js";

const FORM_FILES = 64; // of one form: small, so that progress is seen and little is sent twice
const FORM_BYTES = 64 * 2 ** 20;
let limits = null;

/** Read what the server takes, and listen for files. */
export async function prepareSending() {
  limits = await patiently(() => json("/limits"));
  find("files").accept = (limits.suffixes ?? []).map((suffix) => `.${suffix.split(".").at(-1)}`).join(",");
  find("path-form").hidden = !limits.roots?.length;
  find("roots").textContent = limits.roots?.length
    ? `Folders that this server may read: ${limits.roots.join(", ")}`
    : "";
  drawMissing();
}

/** Offer the channels that may be missing beside those that the ensemble can do without. */
export function drawMissing() {
  const one = ensemble(chosen());
  if (!one) return;
  const boxes = (one.channels ?? [])
    .filter((channel) => channel !== "green")
    .map((channel) => {
      const can = one.may_be_missing?.includes(channel);
      const box = make("input", { type: "checkbox", value: channel, checked: can, disabled: can });
      return make("label", { class: "check" }, box, `${channel} (${one.stains?.[channel] ?? channel})`);
    });
  find("missing").replaceChildren(make("legend", {}, "May be missing; zeros stand for it"), ...boxes);
}

const options = () => ({
  channels: find("channels").value.trim() || null,
  may_be_missing: [...find("missing").querySelectorAll("input:checked:not(:disabled)")].map((box) => box.value),
});

/** Listen to buttons, the path's form, and drops on the whole page. */
export function listenForFiles() {
  for (const [button, input] of [
    ["choose-files", "files"],
    ["choose-folder", "folder"],
  ]) {
    find(button).addEventListener("click", () => find(input).click());
    find(input).addEventListener("change", (event) => {
      const files = [...event.target.files].map((file) => ({ file, name: file.webkitRelativePath || file.name }));
      event.target.value = "";
      sendFiles(files);
    });
  }
  find("path-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const path = find("path")
      .value.trim()
      .replace(/^(["'])(.*)\1$/, "$2"); // as shells and file managers copy it
    if (path) begin({ paths: [path], options: options() });
  });
  let depth = 0;
  const shade = (shown) => (find("dropping").hidden = !shown);
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (event) => carries(event) && (event.preventDefault(), (depth += 1), shade(true)));
  addEventListener("dragleave", (event) => carries(event) && ((depth = Math.max(depth - 1, 0)), shade(depth > 0)));
  addEventListener("dragover", (event) => carries(event) && event.preventDefault());
  addEventListener("drop", async (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    depth = 0;
    shade(false);
    sendFiles(await dropped(event.dataTransfer));
  });
}

/** Files of a drop with their names in its folders. */
async function dropped(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry?.() ?? null); // before anything is awaited
  if (entries.every((entry) => entry === null)) return [...transfer.files].map((file) => ({ file, name: file.name }));
  const found = [];
  for (const entry of entries) if (entry) await walk(entry, "", found);
  return found;
}

async function walk(entry, above, found) {
  if (entry.name.startsWith(".")) return; // .DS_Store and its like
  if (entry.isFile) {
    const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
    if (file) found.push({ file, name: above + entry.name });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (!some.length) return;
    for (const one of some) await walk(one, `${above}${entry.name}/`, found);
  }
}

async function sendFiles(files) {
  const seen = files.filter(({ name }) => !name.split("/").at(-1).startsWith("."));
  if (!seen.length) {
    if (files.length) toast("There is no image among these files.");
    return;
  }
  await begin({ files: seen, options: options() });
}

/** Send the images of a set to the ensemble that is chosen now. */
export const sendAgain = (set) => begin(set.sent);

async function begin(sent) {
  const stop = new AbortController();
  try {
    if (!limits) await prepareSending();
    const body = { ensemble: chosen(), ...sent.options, ...(sent.paths ? { paths: sent.paths } : {}) };
    const job = await patiently(() => send("POST", "/jobs", body), stop.signal);
    const set = follow(job, sent);
    set.stop = stop;
    readTree(job.ensemble).catch(complain);
    look(set);
    if (sent.files) await sendForms(set, sent.files, stop.signal);
    set.sending = null;
    watch(set);
  } catch (error) {
    if (error.name !== "AbortError") complain(error);
  }
}

async function sendForms(set, files, stop) {
  const fit = files.filter(({ file, name }) => {
    if (file.size <= limits.file_bytes) return true;
    set.refused.push({
      file: name,
      reason: `${bytes(file.size)}; this server takes at most ${bytes(limits.file_bytes)} of one file`,
    });
    return false;
  });
  const total = fit.reduce((sum, { file }) => sum + file.size, 0);
  const begun = performance.now();
  let done = 0;
  set.sending = { done, total, files: fit.length, left: null };
  say(`Sending ${count(fit.length, "file")}`);
  tell("progress");
  try {
    for (const some of forms(fit)) {
      const size = some.reduce((sum, { file }) => sum + file.size, 0);
      const told = (out) => {
        const sent = done + Math.min(out, size);
        const spent = (performance.now() - begun) / 1000;
        set.sending = { ...set.sending, done: sent, left: sent ? (spent * (total - sent)) / sent : null };
        tell("progress");
      };
      const again = () => {
        const form = new FormData();
        for (const { file, name } of some) form.append("files", file, name);
        return upload(`/jobs/${set.id}/files`, form, told, stop);
      };
      set.job = await patiently(again, stop);
      done += size;
    }
    set.job = await patiently(() => send("POST", `/jobs/${set.id}/start`, {}), stop);
  } catch (error) {
    set.sending = null;
    const stopped = error.name === "AbortError";
    set.job = { ...set.job, state: stopped ? "cancelled" : "failed", error: stopped ? null : error.message };
    tell("progress");
    throw new DOMException("told already", "AbortError");
  }
}

function* forms(files) {
  let [some, size] = [[], 0];
  const most = Math.min(FORM_BYTES, limits.form_bytes);
  for (const one of files) {
    if (some.length && (some.length >= Math.min(FORM_FILES, limits.files) || size + one.file.size > most)) {
      yield some;
      [some, size] = [[], 0];
    }
    some.push(one);
    size += one.file.size;
  }
  if (some.length) yield some;
}

/** Stop a set that is being sent or answered, and remove it. */
export async function stopSet(set) {
  set.stop?.abort();
  try {
    await json(`/jobs/${set.id}`, { method: "DELETE" }).catch((error) => {
      if (!(error instanceof SyntaxError)) throw error; // 204 has no body
    });
  } catch (error) {
    complain(error);
  }
  set.job = { ...set.job, state: "cancelled" };
  forget(set);
  now.set = null;
  tell("sets");
  tell("rows");
  tell("card");
}

/** What the empty page says of sets that the server still has. */
export function offerEarlier(jobs, open) {
  find("earlier").replaceChildren(
    ...(jobs.length ? [make("h3", {}, "Still on the server")] : []),
    ...jobs.map((job) =>
      make(
        "button",
        { type: "button", class: "plain", onclick: () => open(job) },
        given(job.title || count(job.total ?? job.files, job.total ? "image" : "file")),
        `, ${count(job.ready, "answer")} by ${job.ensemble}`,
      ),
    ),
  );
}
