// Requests: everything asked of the server; problems in its words; the token; patience while it is away or busy.

import { find, make } from "./element.js";

/** What went wrong. `code` is the server's, or "gone" where it does not answer. */
export class Problem extends Error {
  constructor(message, code, status = 0, wait = null) {
    super(message);
    Object.assign(this, { code, status, wait });
  }
  get passes() {
    return this.code === "gone" || this.status === 429 || this.status === 503;
  }
}

const GONE = "The server does not answer. Is hpa-hier serve still running?";
let token = take();

function take() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    history.replaceState(null, "", location.pathname);
    keep(given);
    return given;
  }
  try {
    return sessionStorage.getItem("token");
  } catch {
    return null;
  }
}

function keep(text) {
  try {
    sessionStorage.setItem("token", text);
  } catch {
    // kept in memory alone
  }
}

const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});

/** Ask for the token until it is given; several askers wait for one dialog. */
let asking = null;
function askToken(wrong) {
  asking ??= new Promise((resolve) => {
    const dialog = find("token-dialog");
    find("token-wrong").hidden = !wrong;
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    find("token-form").addEventListener(
      "submit",
      () => {
        token = find("token").value.trim();
        keep(token);
        find("token").value = "";
        asking = null;
        resolve();
      },
      { once: true },
    );
    dialog.showModal();
  });
  return asking;
}

async function problem(answer) {
  let body = {};
  try {
    body = await answer.json();
  } catch {
    // not ours: a proxy's page
  }
  const wait = Number(answer.headers.get("Retry-After")) || null;
  return new Problem(body.error ?? `The server answered ${answer.status}.`, body.code ?? "", answer.status, wait);
}

/** Ask, and return the response; a missing token is asked for. */
export async function ask(path, options = {}) {
  for (;;) {
    const used = token;
    let answer;
    try {
      answer = await fetch(path, { ...options, headers: { ...options.headers, ...headers() } });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(GONE, "gone");
    }
    if (answer.status === 401) {
      if (used === token) await askToken(Boolean(used));
      continue;
    }
    if (!answer.ok) throw await problem(answer);
    return answer;
  }
}

export const json = async (path, options) => (await ask(path, options)).json();

export const send = (method, path, body) =>
  json(path, { method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });

/** Send one form, telling how many bytes are out. */
export async function upload(path, form, told, signal) {
  for (;;) {
    const used = token;
    const answer = await new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", path);
      for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
      request.upload.addEventListener("progress", (event) => told(event.loaded));
      request.addEventListener("error", () => reject(new Problem(GONE, "gone")));
      request.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
      request.addEventListener("load", () => resolve(request));
      signal.addEventListener("abort", () => request.abort(), { once: true });
      request.send(form);
    });
    if (answer.status === 401) {
      if (used === token) await askToken(Boolean(used));
      continue;
    }
    let body = {};
    try {
      body = JSON.parse(answer.responseText);
    } catch {
      // not ours
    }
    if (answer.status >= 200 && answer.status < 300) return body;
    const wait = Number(answer.getResponseHeader("Retry-After")) || null;
    throw new Problem(body.error ?? `The server answered ${answer.status}.`, body.code ?? "", answer.status, wait);
  }
}

/**
 * Do something again and again while the server is away or busy, saying so at the top; other problems are thrown.
 * `stop`: an AbortSignal that ends the waiting.
 */
export async function patiently(work, stop) {
  for (let tries = 0; ; tries += 1) {
    try {
      const result = await work();
      if (tries) clearTrouble();
      return result;
    } catch (error) {
      if (!(error instanceof Problem) || !error.passes || stop?.aborted) throw error;
      await wait(error, error.wait ?? Math.min(2 ** tries, 15), stop);
      stop?.throwIfAborted();
    }
  }
}

function wait(error, seconds, stop) {
  return new Promise((resolve) => {
    let left = Math.ceil(seconds);
    const counted = make("span", {}, "");
    const tick = () => {
      counted.textContent = ` Trying again in ${left} s. `;
      if (left-- <= 0) end();
    };
    const timer = setInterval(tick, 1000);
    const end = () => (clearInterval(timer), resolve());
    const now = make("button", { type: "button", onclick: end }, "Try now");
    const text = error.code === "gone" ? error.message : `The server is busy: ${error.message}`;
    tick();
    showTrouble(make("span", {}, text), counted, now);
    stop?.addEventListener("abort", end, { once: true });
  });
}

/** Show a problem at the top. */
function showTrouble(...parts) {
  const trouble = find("trouble");
  trouble.replaceChildren(...parts);
  trouble.hidden = false;
}

function clearTrouble() {
  find("trouble").hidden = true;
}

/** Show a problem that stays until it is closed. */
export function complain(error) {
  if (error.name === "AbortError") return;
  if (!(error instanceof Problem)) console.error(error);
  showTrouble(
    make("span", {}, error.message),
    " ",
    make("button", { type: "button", onclick: clearTrouble }, "Close"),
  );
}

/** Save what the server answers as a file. */
export async function save(path) {
  const answer = await ask(path);
  const named = /filename="?([^";]+)"?/.exec(answer.headers.get("Content-Disposition") ?? "");
  const url = URL.createObjectURL(await answer.blob());
  const link = make("a", { href: url, download: named ? named[1] : path.split("/").at(-1).split("?")[0] });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}
