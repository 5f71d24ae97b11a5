// The page: what is shown when, and who listens to what.

import { closeCard, openCard } from "./card.js";
import { countCorrections, openCorrections } from "./corrections.js";
import { find, given, make, say } from "./element.js";
import { chosen, ensemble, openEnsembles, readEnsembles } from "./ensembles.js";
import { prepareExports } from "./exports.js";
import { prepareKeys } from "./keys.js";
import { prepareList } from "./list.js";
import { complain } from "./requests.js";
import { drawMissing, listenForFiles, offerEarlier, prepareSending, sendAgain, stopSet } from "./send.js";
import { earlier, follow, look, now, over, page, sets, tell, watch } from "./sets.js";
import { about, bytes, capital, clock, count } from "./words.js";

const SAID = 10000; // ms between two spoken messages about progress
let adding = false; // images are being added while a set is there
let spoken = { at: 0, state: "" };

function drawSets() {
  const { set } = now;
  const empty = !set;
  document.body.classList.toggle("empty", empty);
  find("send").hidden = !empty && !adding;
  find("list").hidden = empty;
  if (set) drawProgress();
  countCorrections();
}

const title = ({ job, created }) =>
  [job.title, job.total === null ? "" : count(job.total, "image"), clock(created), job.ensemble]
    .filter(Boolean)
    .join(", ");

function drawProgress() {
  const { set } = now;
  if (!set) return;
  const select = find("set");
  select.hidden = sets.size < 2;
  select.replaceChildren(
    ...[...sets.values()].map((one) => make("option", { value: one.id, selected: one === set }, title(one))),
  );
  const { job, sending } = set;
  const [share, words] = progress(job, sending);
  const running = Boolean(sending) || !over(set);
  find("stop").hidden = !running;
  const parts = [
    make("p", { class: job.state === "failed" ? "bad" : "" }, words),
    running
      ? make("progress", { "aria-label": "Progress", ...(share === null ? {} : { value: share, max: 1 }) })
      : null,
    differs(set),
    list("could not be used", [...set.refused, ...job.rejected], (one) => [
      given(one.file || one.id),
      `: ${one.reason}`,
    ]),
    list("left aside: not an image", job.aside ?? [], (name) => [given(name)]),
    notes([...(job.notes ?? []), ...(job.warnings ?? [])]),
  ];
  find("progress").replaceChildren(...parts.filter(Boolean));
  speak(set, words);
}

function progress(job, sending) {
  if (sending) {
    const left = sending.left === null ? "" : `, ${about(sending.left)} left`;
    return [
      sending.total ? sending.done / sending.total : null,
      `Sending ${count(sending.files, "file")}: ${bytes(sending.done)} of ${bytes(sending.total)}${left}`,
    ];
  }
  const total = job.total ?? 0;
  const left = job.seconds_left ? `, ${about(job.seconds_left)} left` : "";
  const waiting = job.waiting ? ` after ${count(job.waiting, "image")} of others` : "";
  return {
    open: [null, "Getting ready …"],
    queued: [null, `Waiting for its turn${waiting} …`],
    reading: [
      total ? job.ready / total : null,
      total ? `Reading ${count(total, "image")} …` : "Looking for images …",
    ],
    answering: [
      total ? job.ready / total : null,
      `${job.ready.toLocaleString("en")} of ${count(total, "image")} answered${left}`,
    ],
    done: [1, done(job)],
    failed: [null, capital(job.error ?? "This did not work.")],
    cancelled: [null, "Stopped."],
  }[job.state];
}

const done = (job) =>
  job.ready ? `${count(job.ready, "image")} answered by ${job.ensemble}` : "No image could be answered.";

/** Open the image of a set that has only one. */
function openOnly() {
  const { set } = now;
  if (set.job.state !== "done" || set.rows.size !== 1 || set.wasOpened) return;
  set.wasOpened = true;
  if (!now.row) openCard(set.rows.values().next().value, { focus: false });
}

/** Another ensemble is chosen than the one that answered. */
function differs(set) {
  const other = chosen();
  if (!other || other === set.job.ensemble) return null;
  const again = make("button", { type: "button", onclick: () => sendAgain(set) }, `Ask ${other}`);
  return make(
    "p",
    { class: "small" },
    `These answers are by ${set.job.ensemble}. `,
    set.sent ? again : `Add the images again to ask ${other}.`,
  );
}

function list(words, all, draw) {
  if (!all.length) return null;
  const files = `${count(all.length, "file")} ${words}`;
  return make(
    "details",
    { class: "small files-list", open: all.length <= 3 },
    make("summary", {}, files),
    make(
      "ul",
      {},
      all.slice(0, 500).map((one) => make("li", {}, draw(one))),
    ),
    all.length > 500 ? make("p", {}, "Export gives the whole list.") : null,
  );
}

function notes(all) {
  return all.length
    ? make(
        "ul",
        { class: "small soft notes" },
        all.map((text) => make("li", {}, capital(text))),
      )
    : null;
}

function speak(set, words) {
  const state = set.sending ? "sending" : set.job.state;
  if (state === spoken.state && (over(set) || Date.now() - spoken.at < SAID)) return;
  spoken = { at: Date.now(), state };
  say(words + (set.job.rejected.length ? `; ${count(set.job.rejected.length, "file")} could not be used` : ""));
}

/** Stop what is being sent or answered; answers that are there go with it, so this is asked first. */
function stop() {
  const { ready } = now.set.job;
  const lost = `${count(ready, "answer")} of this set would be removed, too; corrections stay. Stop it?`;
  if (!ready || confirm(lost)) stopSet(now.set);
}

/** Show the image that the address names, or the list. */
function route() {
  const [, job, key] = /^#([\w-]+)\/([\w-]+)$/.exec(location.hash) ?? [];
  const set = sets.get(job);
  const row = set?.rows.get(key);
  if (!row) return now.row && closeCard({ push: false });
  if (now.set !== set) look(set);
  openCard(row, { push: false });
}

function adopt(job) {
  const set = follow(job);
  look(set);
  return watch(set);
}

async function start() {
  prepareList((row) => openCard(row));
  prepareExports();
  prepareKeys();
  listenForFiles();
  page.addEventListener("sets", () => ((adding = false), drawSets()));
  page.addEventListener("progress", drawProgress);
  page.addEventListener("progress", openOnly);
  addEventListener("popstate", route);
  find("set").addEventListener("change", (event) => look(sets.get(event.target.value)));
  find("add-more").addEventListener("click", () => {
    adding = !adding;
    drawSets();
    if (adding) find("choose-files").focus();
  });
  find("stop").addEventListener("click", stop);
  find("open-ensembles").addEventListener("click", openEnsembles);
  find("open-corrections").addEventListener("click", openCorrections);
  find("ensemble").addEventListener(
    "change",
    () => (drawMissing(), drawProgress(), countCorrections(), describeChosen()),
  );
  for (const button of document.querySelectorAll("[data-close]"))
    button.addEventListener("click", () => button.closest("dialog").close());
  tell("sets");
  try {
    await readEnsembles();
    await prepareSending();
    describeChosen();
    const { mine, others } = await earlier();
    offerEarlier(others, adopt);
    for (const { job, sent } of mine) follow(job, sent);
    const last = [...sets.values()].at(-1);
    if (last) {
      const address = location.hash;
      look(last);
      await Promise.all([...sets.values()].map(watch));
      if (address) route();
    }
  } catch (error) {
    complain(error);
  }
}

/** Say under the heading what the chosen ensemble is not, before anything is sent. */
function describeChosen() {
  const one = ensemble(chosen());
  find("send-lead").nextElementSibling.classList.contains("caution") && find("send-lead").nextElementSibling.remove();
  if (one?.caution) find("send-lead").after(make("p", { class: "caution" }, `${one.name}: ${one.caution}.`));
}

start();
