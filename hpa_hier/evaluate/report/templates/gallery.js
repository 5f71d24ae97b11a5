// Pictures: a click, Enter or Space enlarges one, with its channels, its heat map, zoom and its neighbours.
{
  const pictures = [...document.querySelectorAll("svg[data-picture]")];
  const make = (tag, text = "", more = {}) => Object.assign(document.createElement(tag), { textContent: text }, more);
  const dialog = make("dialog", "", { className: "viewer" });
  const title = make("b"), frame = make("div", "", { className: "frame", tabIndex: 0 }), side = make("aside");
  const header = make("header"), box = make("div");
  let at = 0, zoom = 1;

  const setZoom = (value) => {
    zoom = Math.min(8, Math.max(1, value));
    frame.style.setProperty("--zoom", zoom);
  };
  const button = (text, label, act) => {
    const one = make("button", text, { type: "button", title: label });
    one.setAttribute("aria-label", label);
    one.addEventListener("click", act);
    header.append(one);
  };
  const shown = () => pictures.filter((picture) => !picture.closest("[hidden]"));
  const step = (by) => {
    const all = shown();
    show(all[(all.indexOf(pictures[at]) + by + all.length) % all.length]);
  };
  const addSwitch = (place, words, on, act) => {
    const label = make("label"), input = make("input", "", { type: "checkbox", checked: on });
    input.addEventListener("change", () => act(input.checked));
    label.append(input, ...words);
    place.append(label);
    act(on);
  };
  const show = (picture) => {
    const card = picture.closest("figure"), large = picture.cloneNode(true), list = make("fieldset", "", { className: "channels" });
    at = pictures.indexOf(picture);
    for (const one of [large, ...large.querySelectorAll("[id]")]) one.removeAttribute("id");
    for (const name of ["data-picture", "tabindex", "role"]) large.removeAttribute(name);
    list.append(make("legend", "Channels", { className: "small soft" }));
    for (const layer of large.querySelectorAll(".layer")) {
      const channel = layer.dataset.channel, before = document.getElementById(`show-${channel}`);
      const swatch = make("span", "", { className: `swatch tint-${channel}` });
      addSwitch(list, [swatch, layer.dataset.name], before ? before.checked : true, (on) => layer.toggleAttribute("data-off", !on));
    }
    addSwitch(list, ["in grey"], dialog.hasAttribute("data-grey"), (on) => dialog.toggleAttribute("data-grey", on));
    const heat = card.querySelector("svg.heat-map image");
    if (heat) {
      const over = heat.cloneNode();
      large.append(over);
      addSwitch(list, ["heat map"], false, (on) => over.toggleAttribute("data-off", !on));
    }
    title.textContent = picture.getAttribute("data-id");
    side.replaceChildren(list, ...[...card.querySelectorAll("figcaption ul")].map((one) => one.cloneNode(true)));
    frame.replaceChildren(large);
    setZoom(1);
    if (!dialog.open) dialog.showModal();
  };

  header.append(title);
  button("−", "smaller", () => setZoom(zoom / 1.5));
  button("+", "larger", () => setZoom(zoom * 1.5));
  button("‹", "the picture before", () => step(-1));
  button("›", "the next picture", () => step(1));
  button("Close", "close", () => dialog.close());
  frame.setAttribute("aria-label", "picture, scrolls when enlarged");
  box.append(header, frame, side);
  dialog.append(box);
  dialog.setAttribute("aria-label", "One picture, large");
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => pictures[at].focus());
  dialog.addEventListener("keydown", (event) => {
    if (event.target.tagName === "INPUT" || (event.target === frame && zoom > 1 && event.key.startsWith("Arrow"))) return;
    const act = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), "+": () => setZoom(zoom * 1.5), "-": () => setZoom(zoom / 1.5) }[event.key];
    if (act) act();
  });
  if (pictures.length) document.body.append(dialog);
  for (const picture of pictures) {
    picture.setAttribute("tabindex", "0");
    picture.setAttribute("role", "button");
    picture.setAttribute("aria-label", `Enlarge ${picture.getAttribute("aria-label")}`);
    picture.addEventListener("click", () => show(picture));
    picture.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      show(picture);
    });
  }

  // A link to a class opens it, and one button opens all.
  const parts = [...document.querySelectorAll("details.class")];
  const openTarget = () => {
    const part = parts.find((one) => `#${one.id}` === location.hash);
    if (part) {
      part.open = true;
      part.scrollIntoView();
    }
  };
  addEventListener("hashchange", openTarget);
  openTarget();
  if (parts.length > 1) {
    const every = make("button", "", { type: "button", className: "every" });
    const name = () => (every.textContent = parts.every((one) => one.open) ? "Close all classes" : "Open all classes");
    every.addEventListener("click", () => {
      const open = !parts.every((one) => one.open);
      for (const one of parts) one.open = open;
      name();
    });
    for (const one of parts) one.addEventListener("toggle", name);
    name();
    parts[0].before(every);
  }
}
