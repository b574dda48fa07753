// The viewer of a log: where people go in it, what they choose, and what comes while they look.

import { LogMap, problems } from "./beside.js";
import { ask, grouped, range } from "./lines.js";
import { copy, help, makeCurrent, nextLevel, onKey, toolbar, wrap } from "./tools.js";
import { LogWindow, MOST } from "./window.js";

const AGAIN = 10; // seconds before the map of a growing log is drawn again
const KEYS = [
  ["j, k", "next and previous line"],
  ["g, G", "beginning and end; at the end, new lines are followed"],
  ["n, N", "next and previous line that matches the text"],
  ["e, E", "next and previous error"],
  ["/", "search"],
  ["l", "next level"],
  ["w", "wrap lines or not"],
  ["c", "copy the chosen lines"],
  ["?", "these keys"],
];

class LogViewer extends LogWindow {
  connectedCallback() {
    if (this.box || (this.dataset.unread === "true" && this.dataset.open !== "true")) return;
    this.open();
    this.text = /** @type {HTMLInputElement} */ (this.form.elements.namedItem("q"));
    this.follows = false;
    this.classList.add("live");
    this.querySelector("nav")?.remove();
    this.addTools();
    this.place.setAttribute("role", "status");
    this.box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.list.addEventListener("click", (event) => this.clicked(event));
    this.querySelector(".problems").addEventListener("click", (event) => this.led(event));
    this.form.addEventListener("submit", (event) => this.filter(event));
    document.addEventListener("keydown", (event) => this.key(event));
    addEventListener("hashchange", () => this.goToHash());
    const found = Number(this.dataset.found);
    if (range(location.hash)) this.goToHash();
    else if (found) this.choose(found, found, true);
    else if (new URLSearchParams(location.search).get("at") === "end") this.toEnd();
    this.show();
    if (this.isOpen) this.listen();
    this.beside();
  }

  // Tools, and what they do.

  addTools() {
    const { tools, add } = toolbar("Log");
    add("Previous error", () => this.jump("level=error", -1));
    add("Next error", () => this.jump("level=error", 1));
    this.wrapButton = add("Wrap lines", () => this.wrap(), true);
    add("Copy", () => this.copy());
    this.followButton = add("Follow", () => (this.follows ? this.unfollow() : this.toEnd()), false);
    this.followButton.hidden = !this.isOpen;
    add("Keys", () => help(this, KEYS));
    this.place.before(tools);
    this.bar.addEventListener("change", () => this.goTo(Number(this.bar.value), false));
    this.map = new LogMap(this.base, (line, level) => {
      if (level) this.jump(`level=${level}`, 1, line);
      else this.goTo(line, false);
    });
    this.querySelector(".view").append(this.map.canvas, this.bar);
  }

  /** Shows what stands beside the lines. */
  async beside() {
    problems(this.querySelector(".problems > div"), this.base);
    await this.map.load();
    while (this.isOpen && this.isConnected) {
      await new Promise((done) => setTimeout(done, AGAIN * 1000));
      if (!document.hidden) await this.map.load();
    }
  }

  wrap() {
    wrap(this.box, this.wrapButton);
  }

  async copy() {
    this.say(await copy(this.list));
  }

  // Going somewhere.

  scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.box;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < 4;
    if (this.follows && !isAtEnd && !this.isMoving) this.unfollow();
    super.scrolled();
  }

  /** Goes to a line, with a few before it. */
  async goTo(line, chosen = true, last = line) {
    this.unfollow();
    const target = Math.min(Math.max(line, 1), Math.max(this.total, 1));
    const there = this.list.querySelector(`#L${target}`);
    const arrive = () => (chosen ? this.choose(target, last, true) : this.bring(target, "start"));
    if (there) return arrive();
    await this.load(`from=${Math.max(1, target - 60)}`, arrive);
  }

  goToHash() {
    const chosen = range(location.hash);
    if (chosen) this.goTo(chosen.first, true, chosen.last);
  }

  bring(line, block) {
    const there = this.list.querySelector(`#L${line}`) ?? this.list.firstElementChild;
    there?.scrollIntoView({ block });
    return there;
  }

  /** Chooses lines: they are marked, and are what the address means. */
  choose(first, last, isBrought) {
    this.chosen = { first, last };
    for (const item of this.list.children) {
      const number = this.numberOf(item);
      item.classList.toggle("target", number >= first && number <= last);
    }
    const hash = first === last ? `#L${first}` : `#L${first}-L${last}`;
    if (location.hash !== hash) history.replaceState(null, "", location.pathname + location.search + hash);
    const item = this.list.querySelector(`#L${first}`);
    if (item) this.move(item, isBrought && "center");
  }

  /** Makes a line the current one. */
  move(item, block = "nearest") {
    makeCurrent(this.list, item, block);
  }

  current() {
    return this.list.querySelector("[aria-current]") ?? this.list.querySelector(`#L${this.top()}`);
  }

  /** The next line with these conditions from here on, or the nearest before it, wherever it is in the log. */
  async jump(conditions, way, here = (this.numberOf(this.current()) || this.top()) + (way > 0 ? 1 : 0)) {
    let place = way > 0 ? `from=${here}` : `before=${here}`;
    for (;;) {
      const page = await ask(`${this.base}/lines`, `${place}&count=1&${conditions}`).catch((error) => {
        this.say(error.message);
      });
      if (!page) return;
      if (page.lines.length > 0) return this.goTo(page.lines[0].n);
      if (way > 0 ? page.to > page.total : page.from <= 1) break;
      place = way > 0 ? `from=${page.to}` : `before=${page.from}`;
      this.say(`searching: line ${grouped(page.to - 1)} of ${grouped(page.total)}`);
    }
    this.say(way > 0 ? "there is none behind this line" : "there is none before this line");
  }

  async toEnd() {
    await this.load("at=end", () => this.atEnd());
    this.follows = this.isOpen;
    this.followButton.setAttribute("aria-pressed", String(this.follows));
  }

  atEnd() {
    this.isMoving = true;
    this.box.scrollTop = this.box.scrollHeight;
    requestAnimationFrame(() => requestAnimationFrame(() => (this.isMoving = false)));
  }

  unfollow() {
    this.follows = false;
    this.followButton.setAttribute("aria-pressed", "false");
  }

  filter(event) {
    event.preventDefault();
    const here = this.top();
    const query = this.conditions().toString();
    history.replaceState(null, "", location.pathname + (query && `?${query}`));
    this.load(query ? "from=1" : `from=${Math.max(1, here - 5)}`);
    if (this.isOpen) this.listen();
  }

  clicked(event) {
    const link = event.target.closest("li > a");
    if (!link) return;
    event.preventDefault();
    const number = this.numberOf(link.parentElement);
    const { first, last } = this.chosen ?? { first: number, last: number };
    if (event.shiftKey) this.choose(Math.min(first, number), Math.max(last === first ? first : number, number), false);
    else this.choose(number, number, false);
  }

  /** Goes where a link beside the lines leads, also if the address says so already. */
  led(event) {
    const chosen = range(event.target.closest("a")?.hash ?? "");
    if (!chosen) return;
    event.preventDefault();
    // It may be none of the lines that match.
    if ([...this.conditions()].length > 0) {
      for (const field of this.form.querySelectorAll("input")) field.value = "";
      this.form.querySelector("select").value = "";
      history.replaceState(null, "", location.pathname);
      this.list.replaceChildren();
    }
    this.goTo(chosen.first);
  }

  // What comes while somebody looks.

  listen() {
    this.source?.close();
    const source = new EventSource(`${this.base}/events?from=${this.total + 1}&${this.conditions()}`);
    this.source = source;
    source.addEventListener("message", (event) => this.came(JSON.parse(event.data)));
    source.addEventListener("note", (event) => this.say(JSON.parse(event.data).note));
    source.addEventListener("end", () => {
      source.close();
      this.isOpen = false;
      this.followButton.hidden = true;
      this.unfollow();
      this.show();
      this.beside();
    });
  }

  came(line) {
    const isNext = this.to > this.total;
    if (line.n) this.total = Math.max(this.total, line.n);
    // Only at the end of the log is a new line the next one.
    if (!isNext || (line.n && line.n < this.to)) return this.show();
    if (line.n) this.to = line.n + 1;
    this.list.append(this.make(line));
    if (this.follows) {
      this.trim("up");
      this.atEnd();
    } else if (this.list.children.length > 2 * MOST) {
      // Nobody looks at the end: it is read again by whoever goes there.
      this.trim("down");
    }
    this.show();
  }

  // Keys.

  key(event) {
    const step = (way) => {
      const here = this.current();
      const next = way > 0 ? here?.nextElementSibling : here?.previousElementSibling;
      if (next) this.move(next);
    };
    const find = (way) => {
      const query = new URLSearchParams({ q: this.text.value });
      if (this.text.value) this.jump(query.toString(), way);
      else this.text.focus();
    };
    const keys = {
      j: () => step(1),
      k: () => step(-1),
      g: () => this.load("from=1"),
      G: () => this.toEnd(),
      n: () => find(1),
      N: () => find(-1),
      e: () => this.jump("level=error", 1),
      E: () => this.jump("level=error", -1),
      "/": () => this.text.focus(),
      l: () => nextLevel(this.form),
      w: () => this.wrap(),
      c: () => this.copy(),
      "?": () => help(this, KEYS),
    };
    onKey(event, keys);
  }
}

customElements.define("log-viewer", LogViewer);
