// The window of a log: the lines that are in the page, a few hundred at a time whatever the size of the log. It takes over
// those that the server wrote; its scroll bar runs over the numbers of lines.

import { ask, element, grouped } from "./lines.js";
import { conditions, isSelected } from "./tools.js";

export const MOST = 400; // lines in the page at once
const STEP = 200; // lines to ask for
const NEAR = 1200; // pixels from an edge at which more are asked for

export class LogWindow extends HTMLElement {
  open() {
    const data = this.dataset;
    this.base = `/runs/${data.run}/log`;
    this.form = /** @type {HTMLFormElement} */ (document.querySelector("form.filters"));
    this.box = /** @type {HTMLElement} */ (this.querySelector(".lines"));
    this.list = this.querySelector("ol");
    this.place = this.querySelector(".place");
    this.from = Number(data.from); // lines that were looked at: from here …
    this.to = Number(data.to); // … up to this one, which is the next
    this.total = Number(data.total);
    this.isOpen = data.open === "true";
    this.loads = { up: false, down: false };
    this.generation = 0; // what was asked for another one is dropped
    this.bar = document.createElement("input");
    this.bar.type = "range";
    this.bar.className = "bar";
    this.bar.min = "1";
    this.bar.setAttribute("aria-label", "Line at the top");
    this.bar.setAttribute("aria-orientation", "vertical");
    for (const item of this.list.children) this.number(item);
  }

  conditions() {
    return conditions(this.form);
  }

  /** Shows other lines: those from a place on. */
  async load(place, select) {
    const generation = ++this.generation;
    const isBack = place.startsWith("before") || place === "at=end";
    this.stop?.abort();
    this.stop = new AbortController();
    this.say("reading …");
    try {
      let page = await this.page(place);
      // Lines that match may be rare: it looks on, until there are some or somebody wants something else.
      while (page.lines.length === 0 && (isBack ? page.from > 1 : page.to <= page.total)) {
        if (generation !== this.generation) return;
        this.say(`searching: line ${grouped(page.to - 1)} of ${grouped(page.total)}`);
        page = await this.page(isBack ? `before=${page.from}` : `from=${page.to}`);
      }
      if (generation !== this.generation) return;
      this.list.replaceChildren(...page.lines.map((line) => this.make(line)));
      [this.from, this.to, this.total] = [page.from, page.to, page.total];
      this.box.scrollTop = 0;
      select?.(page);
      this.show();
      this.scrolled();
    } catch (error) {
      if (error.name !== "AbortError" && generation === this.generation) this.say(error.message);
    }
  }

  page(place, count = STEP) {
    return ask(`${this.base}/lines`, `${place}&count=${count}&${this.conditions()}`, this.stop?.signal);
  }

  make(line) {
    const item = element(line, this.base);
    this.number(item);
    return item;
  }

  number(item) {
    const number = Number(item.id.slice(1));
    if (!number) return;
    item.setAttribute("aria-posinset", String(number));
    item.setAttribute("aria-setsize", String(Math.max(this.total, number)));
    const link = item.firstElementChild;
    link.setAttribute("href", `#L${number}`);
    link.tabIndex = -1;
  }

  scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.box;
    if (scrollTop < NEAR) this.more("up");
    if (scrollHeight - scrollTop - clientHeight < NEAR) this.more("down");
    this.show();
  }

  /** Adds lines above or below, and takes as many away at the other side. What is read does not move. */
  async more(side) {
    const isUp = side === "up";
    if (this.loads[side] || (isUp ? this.from <= 1 : this.to > this.total)) return;
    this.loads[side] = true;
    const generation = this.generation;
    try {
      const page = await this.page(isUp ? `before=${this.from}` : `from=${this.to}`);
      if (generation !== this.generation) return;
      this.total = page.total;
      const items = page.lines.map((line) => this.make(line));
      if (isUp) {
        this.from = page.from;
        const height = this.box.scrollHeight;
        this.list.prepend(...items);
        this.box.scrollTop += this.box.scrollHeight - height;
        this.trim("down");
      } else {
        this.to = page.to;
        this.list.append(...items);
        this.trim("up");
      }
      this.show();
    } catch (error) {
      if (error.name !== "AbortError") this.say(error.message);
      // Not at once again.
      await new Promise((done) => setTimeout(done, 1000));
      return;
    } finally {
      this.loads[side] = false;
    }
    // Where few lines match, the box may not be full yet, and nobody can scroll in it.
    this.scrolled();
  }

  /** Takes lines away that nobody sees, but for selected ones. */
  trim(side) {
    if (isSelected(this.list) && this.list.children.length < 3 * MOST) return;
    const extra = this.list.children.length - MOST;
    if (extra <= 0) return;
    if (side === "up") {
      const height = this.box.scrollHeight;
      for (let count = 0; count < extra; count++) this.list.firstElementChild.remove();
      this.box.scrollTop -= height - this.box.scrollHeight;
      this.from = this.numberOf(this.list.firstElementChild) || this.from;
    } else {
      for (let count = 0; count < extra; count++) this.list.lastElementChild.remove();
      this.to = (this.numberOf(this.list.lastElementChild) || this.to - 1) + 1;
    }
  }

  numberOf(item) {
    return item ? Number(item.id.slice(1)) : 0;
  }

  /** The line at the top of what is seen. */
  top() {
    const edge = this.box.scrollTop + this.box.offsetTop;
    const items = this.list.children;
    let [low, high] = [0, items.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      const item = /** @type {HTMLElement} */ (items[middle]);
      if (item.offsetTop + item.offsetHeight <= edge) low = middle + 1;
      else high = middle;
    }
    return this.numberOf(items[low]);
  }

  show() {
    const top = this.top() || this.from;
    this.bar.max = String(Math.max(this.total, 1));
    this.bar.value = String(top);
    this.bar.setAttribute("aria-valuetext", `line ${grouped(top)} of ${grouped(this.total)}`);
    const isFiltered = [...this.conditions()].length > 0;
    const count = this.list.children.length;
    if (count === 0) this.say(isFiltered ? `no line of ${grouped(this.total)} matches` : "no lines yet");
    else if (isFiltered) this.say(`line ${grouped(top)} of ${grouped(this.total)}, of those that match`);
    else this.say(`line ${grouped(top)} of ${grouped(this.total)}${this.isOpen ? ", and more may come" : ""}`);
  }

  say(text) {
    if (this.place.textContent !== text) this.place.textContent = text;
  }
}
