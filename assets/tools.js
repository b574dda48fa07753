// What the viewers of a log and of a stream have in common: their tools, and what the keys and buttons do in both.

/** Makes the bar of tools; the function adds a button to it. */
export function toolbar(/** @type {string} */ name) {
  const tools = document.createElement("div");
  tools.className = "tools";
  tools.setAttribute("role", "toolbar");
  tools.setAttribute("aria-label", name);
  const add = (text, act, pressed) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    if (pressed !== undefined) button.setAttribute("aria-pressed", String(pressed));
    button.addEventListener("click", act);
    tools.append(button);
    return button;
  };
  return { tools, add };
}

/** Wraps lines, or not any more. */
export function wrap(/** @type {Element} */ box, /** @type {Element} */ button) {
  button.setAttribute("aria-pressed", String(!box.classList.toggle("nowrap")));
}

/** Copies the chosen lines, else all that are in the page; says what came of it. */
export async function copy(/** @type {Element} */ list) {
  const chosen = list.querySelectorAll("li.target");
  const lines = chosen.length > 0 ? chosen : list.children;
  const text = [...lines].map((item) => item.querySelector("span").textContent).join("\n");
  const copied = navigator.clipboard?.writeText(text);
  const done = await (copied ?? Promise.reject()).then(() => true, () => false);
  return done ? `${lines.length} lines copied` : "the browser does not let a page copy here";
}

/** Shows what the keys do. */
export function help(/** @type {Element} */ viewer, /** @type {string[][]} */ keys) {
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-label", "Keys");
  const list = document.createElement("dl");
  for (const [key, does] of keys) {
    const [name, text] = [document.createElement("dt"), document.createElement("dd")];
    name.append(Object.assign(document.createElement("kbd"), { textContent: key }));
    text.textContent = does;
    list.append(name, text);
  }
  const close = Object.assign(document.createElement("button"), { textContent: "Close", autofocus: true });
  close.addEventListener("click", () => dialog.close());
  dialog.append(list, close);
  dialog.addEventListener("close", () => dialog.remove());
  viewer.append(dialog);
  dialog.showModal();
}

/** Does what a key means, unless somebody types or holds another key. */
export function onKey(/** @type {KeyboardEvent} */ event, /** @type {Record<string, () => void>} */ keys) {
  const at = /** @type {Element} */ (event.target);
  const isTyping = at.closest("input:not([type=range]), select, textarea, dialog");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
}

/** The next level of a filter. */
export function nextLevel(/** @type {HTMLFormElement} */ form) {
  const level = form.querySelector("select");
  level.selectedIndex = (level.selectedIndex + 1) % level.options.length;
  form.requestSubmit();
}

/** The conditions that a filter has, as they stand in an address. */
export function conditions(/** @type {HTMLFormElement} */ form) {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value) query.append(name, String(value));
  return query;
}

/** Whether somebody has selected something in these lines, which must not go. */
export function isSelected(/** @type {Element} */ list) {
  const selection = document.getSelection();
  return Boolean(selection && !selection.isCollapsed && list.contains(selection.anchorNode));
}

/** Makes a line of a list the current one: its link has the focus, and is the only one of the list that Tab reaches. */
export function makeCurrent(list, item, block) {
  const before = list.querySelector("[aria-current]");
  before?.removeAttribute("aria-current");
  if (before?.firstElementChild) before.firstElementChild.tabIndex = -1;
  item.setAttribute("aria-current", "true");
  const link = item.firstElementChild;
  link.tabIndex = 0;
  if (block) item.scrollIntoView({ block });
  link.focus({ preventScroll: true });
}
