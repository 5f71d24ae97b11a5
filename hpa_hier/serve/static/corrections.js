// Corrections: the list that the server keeps, and adapting the ensemble to it.

import { find, given, make, say, toast } from "./element.js";
import { chosen, readEnsembles } from "./ensembles.js";
import { complain, json, patiently, save, send } from "./requests.js";
import { now } from "./sets.js";
import { about, count } from "./words.js";

const PAUSE = 1000; // ms between two questions while an ensemble is adapted
const name = () => now.set?.job.ensemble ?? chosen();
const path = () => `/corrections/${encodeURIComponent(name())}`;
let following = false;

/** Show on the button how many corrections there are. */
export async function countCorrections() {
  const place = find("correction-count");
  if (!name()) return; // the ensembles are not read yet
  try {
    const { count: number } = await json(path());
    place.textContent = number;
    place.hidden = !number;
  } catch {
    place.hidden = true; // the list itself says why
  }
}

export async function openCorrections() {
  const body = find("corrections-body");
  body.replaceChildren(make("p", { class: "soft" }, "Reading …"));
  find("corrections-dialog").showModal();
  try {
    const [list, adapting] = await Promise.all([patiently(() => json(path())), json("/adapt")]);
    body.replaceChildren(...drawList(list), ...drawAdapt(list));
    if (adapting.state !== "none") followAdapt(adapting);
  } catch (error) {
    body.replaceChildren(make("p", {}, error.message));
  }
}

function drawList(list) {
  if (!list.count)
    return [
      make("p", {}, `No label is corrected yet for ${name()}. Open an image, choose "Correct", and save its places.`),
    ];
  const classes = Object.entries(list.classes).sort(([, one], [, other]) => other - one);
  return [
    make(
      "p",
      {},
      `${count(list.count, "image")} with labels of yours, for ${name()}. They are kept in `,
      make("code", {}, list.folder),
      ".",
    ),
    make("p", { class: "small soft" }, classes.map(([place, number]) => `${place} ${number}`).join(", ")),
    make(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Corrected images" },
      make(
        "table",
        { class: "corrections" },
        make(
          "thead",
          {},
          make(
            "tr",
            {},
            ["Image", "Places", "Note"].map((title) => make("th", { scope: "col" }, title)),
          ),
        ),
        make(
          "tbody",
          {},
          list.rows.map((row) =>
            make(
              "tr",
              {},
              make("th", { scope: "row" }, given(row.id)),
              make("td", {}, row.labels.join(", ")),
              make("td", {}, given(row.note ?? "")),
            ),
          ),
        ),
      ),
    ),
    make(
      "p",
      {},
      make(
        "button",
        { type: "button", onclick: () => save(`${path()}/labels.csv`).catch(complain) },
        "Save as a label table (CSV)",
      ),
    ),
  ];
}

function drawAdapt(list) {
  const title = make("h3", {}, "Teach the ensemble with them");
  if (!list.command) return list.count ? [title, make("p", {}, `Not yet: ${list.reason}.`.replace("..", "."))] : [];
  const command = make(
    "code",
    { class: "command", tabindex: 0, role: "region", "aria-label": "The command" },
    list.command,
  );
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(list.command);
      toast("The command is copied.");
    } catch {
      // no clipboard over plain HTTP from elsewhere: the text is marked for the user to copy
      getSelection().selectAllChildren(command);
      toast("The command is marked: copy it with Ctrl+C.");
    }
  };
  const out = make("input", {
    id: "out",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: usual(list.command),
  });
  const run = make(
    "button",
    { type: "button", class: "main", id: "run-adapt", onclick: () => startAdapt(out.value.trim()) },
    "Run it here",
  );
  return [
    title,
    make("p", {}, `This makes a new ensemble from ${name()} and your labels; ${name()} itself stays as it is.`),
    make("div", { class: "copy" }, command, make("button", { type: "button", onclick: copy }, "Copy")),
    make("div", { class: "adapt" }, make("label", { for: "out" }, "Name of the new ensemble"), out, run),
    make("div", { id: "adapting" }),
  ];
}

/** The name that the command gives the new ensemble. */
const usual = (command) => /--out (?:\S*\/)?([^\s\/]+)$/.exec(command)?.[1] ?? "";

async function startAdapt(out) {
  try {
    find("adapting").scrollIntoView({ block: "nearest" });
    followAdapt(await patiently(() => send("POST", "/adapt", { ensemble: name(), out: out || null })));
  } catch (error) {
    find("adapting")?.replaceChildren(make("p", { class: "bad", role: "alert" }, error.message));
  }
}

async function followAdapt(adapting) {
  showAdapt(adapting);
  if (following) return;
  following = true;
  try {
    let state = adapting;
    while (state.state === "running") {
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
      state = await patiently(() => json("/adapt"));
      showAdapt(state);
    }
    if (state.state === "done" && adapting.state === "running") {
      say(`${state.result} is ready`);
      await readEnsembles();
    }
    find("adapting")?.scrollIntoView({ block: "nearest" });
  } catch (error) {
    complain(error);
  } finally {
    following = false;
  }
}

function showAdapt(state) {
  const place = find("adapting");
  if (!place) return;
  const run = find("run-adapt");
  if (run) run.disabled = state.state === "running";
  const use = async () => {
    await readEnsembles(state.result);
    find("ensemble").dispatchEvent(new Event("change"));
    find("corrections-dialog").close();
    toast(`${state.result} answers from now on.`);
  };
  const cancel = () => json("/adapt", { method: "DELETE" }).then(showAdapt, complain);
  const words = {
    running: `Adapting ${state.ensemble}: ${about(state.seconds)} so far. You can close this and go on.`,
    done: `${state.result ?? state.out} is ready.`,
    failed: `It did not work: ${state.error ?? "see what it printed"}`,
    cancelled: "Stopped. Nothing was changed.",
  }[state.state];
  place.replaceChildren(
    ...[
      make("p", { class: state.state === "failed" ? "bad" : "" }, words),
      state.state === "running" ? make("progress", { "aria-label": "Adapting" }) : null,
      state.state === "running" ? make("button", { type: "button", onclick: cancel }, "Stop") : null,
      state.state === "done" && state.result
        ? make("button", { type: "button", class: "main", onclick: use }, `Choose ${state.result}`)
        : null,
      state.lines?.length
        ? make(
            "details",
            { open: state.state !== "running" },
            make("summary", {}, "What it printed"),
            make("pre", { class: "printed", tabindex: 0 }, state.lines.join("\n")),
          )
        : null,
    ].filter(Boolean),
  );
}
