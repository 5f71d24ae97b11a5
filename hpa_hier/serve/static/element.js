// Elements: built from names and texts; nothing that a user or a server gave is ever read as HTML.

/**
 * Make an element. Attributes are set as they are, functions are listeners to what follows their `on`; true is an
 * empty attribute and false none, but for `aria-…`; null is left out. Children are elements or texts.
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean" && !name.startsWith("aria-")) element.toggleAttribute(name, value);
    else element.setAttribute(name, String(value));
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

export const find = (id) => document.getElementById(id);

/** A user's text, kept apart from the direction of the text around it. */
export const given = (text) => make("bdi", {}, text);

/** A bar from 0 to 1 with a mark at the threshold; numbers stand beside it, so it is hidden from screen readers. */
export function bar(share, threshold, lit) {
  const element = make("span", { class: `bar${lit ? " lit" : ""}`, "aria-hidden": "true" });
  element.style.setProperty("--share", Math.min(Math.max(share, 0), 1));
  if (threshold !== null && threshold !== undefined) {
    const mark = make("span", { class: "needs" });
    mark.style.setProperty("--at", Math.min(threshold, 1));
    element.append(mark);
  }
  return element;
}

let speaking;
/** Say something to those who listen to the page. */
export function say(text) {
  const live = find("live");
  clearTimeout(speaking);
  live.textContent = "";
  speaking = setTimeout(() => (live.textContent = text), 60);
}

let fading;
/** Show a short message at the bottom, with what can be done about it. */
export function toast(text, action = null, run = null) {
  const done = find("done");
  const hide = () => (done.hidden = true);
  const button = action && make("button", { type: "button", onclick: () => (hide(), run()) }, action);
  done.replaceChildren(make("span", {}, text), ...(button ? [button] : []));
  done.hidden = false;
  clearTimeout(fading);
  fading = setTimeout(hide, 8000);
  say(text);
}

/** Tabs by the keyboard: arrows, Home and End move and choose. */
export function tabs(list, choose) {
  const all = () => [...list.querySelectorAll('[role="tab"]')];
  const select = (tab, focus) => {
    for (const other of all()) {
      other.setAttribute("aria-selected", other === tab);
      other.tabIndex = other === tab ? 0 : -1;
      const panel = find(other.getAttribute("aria-controls"));
      if (panel) panel.hidden = other !== tab;
    }
    if (focus) tab.focus();
    choose(tab.id);
  };
  list.addEventListener("click", (event) => {
    const tab = event.target.closest('[role="tab"]');
    if (tab) select(tab, false);
  });
  list.addEventListener("keydown", (event) => {
    const known = all();
    const at = known.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: known.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    select(known[(to + known.length) % known.length], true);
  });
  return select;
}
