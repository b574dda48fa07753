// What stands beside the lines of a log: a map of its errors and warnings, and its problems by kind. Both lead to a line.

import { ask, grouped } from "./lines.js";

const WIDTH = 14; // pixels of the map

/** A strip as high as the log's view: where its errors and warnings are. The same is reached by the keys e and E. */
export class LogMap {
  constructor(/** @type {string} */ base, /** @type {(line: number, level?: string) => void} */ goTo) {
    this.base = base;
    this.total = 0;
    this.parts = /** @type {[number, number][]} */ ([]); // errors and warnings of each
    this.canvas = document.createElement("canvas");
    this.canvas.className = "map";
    this.canvas.hidden = true;
    this.canvas.title = "Errors and warnings of the whole log";
    this.canvas.setAttribute("aria-hidden", "true");
    this.canvas.addEventListener("click", (event) => goTo(...this.meant(event.offsetY)));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  async load() {
    const map = await ask(`${this.base}/map`, "").catch(() => null);
    // An older map says more than none.
    if (!map) return;
    [this.total, this.parts] = [map.total, map.parts];
    this.canvas.hidden = this.parts.length === 0;
    this.draw();
  }

  /**
   * The line from which to look, and for what: the nearest part with errors, else with warnings, if one is near.
   * @returns {[number, string?]}
   */
  meant(/** @type {number} */ y) {
    const count = this.parts.length;
    const here = Math.min(Math.floor((y / this.canvas.clientHeight) * count), count - 1);
    const reach = Math.ceil((6 / this.canvas.clientHeight) * count);
    const firstOf = (/** @type {number} */ part) => Math.ceil((part * this.total) / count) + 1;
    for (const [nth, level] of ["error", "warn"].entries()) {
      for (let off = 0; off <= reach; off++) {
        const near = [here - off, here + off].find((part) => this.parts[part]?.[nth]);
        if (near !== undefined) return [firstOf(near), level];
      }
    }
    return [firstOf(here)];
  }

  draw() {
    const { canvas, parts } = this;
    if (canvas.hidden) return;
    const [scale, height] = [devicePixelRatio, canvas.clientHeight];
    [canvas.width, canvas.height] = [WIDTH * scale, height * scale];
    const pen = canvas.getContext("2d");
    const colors = getComputedStyle(canvas);
    pen.scale(scale, scale);
    // Warnings first, so that an error is never under them.
    for (const level of [1, 0]) {
      pen.fillStyle = colors.getPropertyValue(level ? "--partly" : "--bad");
      parts.forEach((part, at) => {
        if (part[level]) pen.fillRect(level * 4, (at * height) / parts.length, WIDTH, Math.max(height / parts.length, 2));
      });
    }
  }
}

/** Fills the list of a log's problems by kind; each leads to the line of the first of its kind. */
export async function problems(/** @type {Element} */ box, /** @type {string} */ base, query = "") {
  const said = await ask(`${base}/problems`, query).catch((error) => ({ said: error.message, kinds: [] }));
  const lead = Object.assign(document.createElement("p"), { textContent: said.said });
  const list = document.createElement("ol");
  for (const kind of said.kinds) {
    const link = Object.assign(document.createElement("a"), { href: `#L${kind.line}`, textContent: kind.text });
    const about = Object.assign(document.createElement("span"), { textContent: `${grouped(kind.count)} × ${kind.about}` });
    const item = document.createElement("li");
    item.append(about, link);
    list.append(item);
  }
  box.replaceChildren(lead, ...(said.kinds.length > 0 ? [list] : []));
  if (!said.mayAsk) return;
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Count them" });
  button.addEventListener("click", () => {
    lead.textContent = "counting …";
    button.remove();
    problems(box, base, "problems=all");
  });
  box.append(button);
}
