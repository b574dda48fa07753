// The viewer of a stream: takes over the records that the server wrote. It holds a few hundred at a time, each known by
// its place. While the latest are shown, what comes is added to them; whoever reads further up is not moved.

import { ask, element } from "./lines.js";
import { conditions, copy, help, isSelected, makeCurrent, nextLevel, onKey, toolbar, wrap } from "./tools.js";

const MOST = 400; // records in the page at once
const NEAR = 800; // pixels from an edge at which more are asked for
const BEGINNING = `after=0-0-${"0".repeat(32)}`;
const KEYS = [
  ["j, k", "next and previous record"],
  ["g, G", "beginning and end; at the end, new records are followed"],
  ["e, E", "next and previous error"],
  ["/", "search"],
  ["l", "next level"],
  ["w", "wrap lines or not"],
  ["c", "copy the chosen records"],
  ["?", "these keys"],
];

class StreamViewer extends HTMLElement {
  connectedCallback() {
    if (this.box) return;
    const { service, older, newer, to, target } = this.dataset;
    this.base = `/streams/${service}`;
    this.form = /** @type {HTMLFormElement} */ (document.querySelector("form.filters"));
    this.text = /** @type {HTMLInputElement} */ (this.form.elements.namedItem("q"));
    this.box = this.querySelector(".lines");
    this.list = this.querySelector("ol");
    this.place = this.querySelector(".place");
    [this.hasOlder, this.hasNewer] = [older === "true", newer === "true"];
    this.to = to;
    this.loads = { older: false, newer: false };
    this.generation = 0; // of the window: what was asked for another is dropped
    this.classList.add("live");
    this.querySelector("nav")?.remove();
    this.addTools();
    this.place.setAttribute("role", "status");
    this.box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.list.addEventListener("click", (event) => this.clicked(event));
    this.form.addEventListener("submit", (event) => this.filter(event));
    document.addEventListener("keydown", (event) => this.key(event));
    for (const item of this.list.children) item.querySelector("a").tabIndex = -1;
    const chosen = document.getElementById(location.hash.slice(1) || target);
    if (chosen?.parentElement === this.list) this.choose(chosen, "center");
    else if (!this.hasNewer) this.follow();
    this.show();
    this.listen();
  }

  addTools() {
    const { tools, add } = toolbar("Stream");
    add("Previous error", () => this.jump(-1));
    add("Next error", () => this.jump(1));
    this.wrapButton = add("Wrap lines", () => wrap(this.box, this.wrapButton), true);
    add("Copy", async () => this.say(await copy(this.list)));
    this.followButton = add("Follow", () => (this.follows ? this.unfollow() : this.toLatest()), false);
    add("Keys", () => help(this, KEYS));
    this.place.before(tools);
  }

  // The window of records.

  page(place, more = "") {
    return ask(`${this.base}/records`, `${place}&${conditions(this.form)}${more}`, this.stop?.signal);
  }

  make(record) {
    const item = element(record, this.base);
    item.querySelector("a").tabIndex = -1;
    return item;
  }

  /** Shows other records. Those that match may be rare: it looks on, until there are some. */
  async load(place) {
    const generation = ++this.generation;
    this.source?.close();
    this.stop?.abort();
    this.stop = new AbortController();
    this.say("reading …");
    try {
      let page = await this.page(place);
      while (page.records.length === 0 && page.newer && generation === this.generation) {
        page = await this.page(`after=${page.to}`);
      }
      if (generation !== this.generation) return false;
      this.list.replaceChildren(...page.records.map((record) => this.make(record)));
      [this.hasOlder, this.hasNewer, this.to] = [page.older, page.newer, page.to];
      this.show();
      this.listen();
      return true;
    } catch (error) {
      if (error.name !== "AbortError" && generation === this.generation) this.say(error.message);
      return false;
    }
  }

  scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.box;
    const below = scrollHeight - scrollTop - clientHeight;
    if (scrollTop < NEAR && this.hasOlder) this.more("older");
    if (below < NEAR && this.hasNewer) this.more("newer");
    if (this.follows && below > 4 && !this.isMoving) this.unfollow();
  }

  /** Adds records above or below, and takes as many away at the other side. What is read does not move. */
  async more(side) {
    const [first, last] = [this.list.firstElementChild, this.list.lastElementChild];
    if (this.loads[side] || !first) return;
    this.loads[side] = true;
    const generation = this.generation;
    const isOlder = side === "older";
    try {
      const page = await this.page(isOlder ? `before=${first.id}` : `after=${this.behind ?? last.id}`);
      if (generation !== this.generation) return;
      const items = page.records.map((record) => this.make(record));
      if (isOlder) {
        this.hasOlder = page.older;
        const height = this.box.scrollHeight;
        this.list.prepend(...items);
        this.box.scrollTop += this.box.scrollHeight - height;
        this.trim("newer");
      } else {
        this.list.append(...items);
        this.behind = items.length > 0 ? undefined : page.to;
        [this.hasNewer, this.to] = [page.newer, page.to];
        this.trim("older");
        this.listen();
      }
      this.show();
      // The same question would have the same answer.
      if (isOlder && items.length === 0) return;
    } catch (error) {
      if (error.name !== "AbortError") this.say(error.message);
      // Not at once again.
      await new Promise((done) => setTimeout(done, 1000));
      return;
    } finally {
      this.loads[side] = false;
    }
    // Where few records match, the box may not be full yet, and nobody can scroll in it.
    this.scrolled();
  }

  /** Takes records away that nobody sees, but for selected ones. */
  trim(side) {
    let extra = this.list.children.length - MOST;
    if (extra <= 0 || (isSelected(this.list) && extra < 2 * MOST)) return;
    if (side === "older") {
      const height = this.box.scrollHeight;
      while (extra-- > 0) this.list.firstElementChild.remove();
      this.box.scrollTop -= height - this.box.scrollHeight;
      this.hasOlder = true;
    } else {
      while (extra-- > 0) this.list.lastElementChild.remove();
      this.hasNewer = true;
      this.behind = undefined;
      this.source?.close();
    }
  }

  show() {
    const count = this.list.children.length;
    const shown = count === 1 ? "1 record" : `${count} records`;
    const isFiltered = [...conditions(this.form)].length > 0;
    if (count === 0) this.say(isFiltered ? "no record matches" : "no records yet");
    else if (this.hasNewer) this.say(`${shown}, and later ones are there`);
    else this.say(`the latest ${shown}, and new ones come by themselves`);
  }

  say(text) {
    if (this.place.textContent !== text) this.place.textContent = text;
  }

  // What comes while somebody looks.

  listen() {
    this.source?.close();
    if (this.hasNewer) return;
    this.source = new EventSource(`${this.base}/events?after=${this.to}&${conditions(this.form)}`);
    this.source.addEventListener("message", (event) => this.came(JSON.parse(event.data)));
  }

  came(record) {
    // What was there already when this began may come once more.
    if (this.hasNewer || document.getElementById(record.place)) return;
    this.list.append(this.make(record));
    if (this.follows) {
      this.trim("older");
      this.atEnd();
    } else if (this.list.children.length > 2 * MOST) {
      // Nobody looks at the end: it is read again by whoever goes there.
      this.trim("newer");
    }
    this.show();
  }

  follow() {
    this.follows = true;
    this.followButton.setAttribute("aria-pressed", "true");
    this.atEnd();
  }

  unfollow() {
    this.follows = false;
    this.followButton.setAttribute("aria-pressed", "false");
  }

  atEnd() {
    this.isMoving = true;
    this.box.scrollTop = this.box.scrollHeight;
    requestAnimationFrame(() => requestAnimationFrame(() => (this.isMoving = false)));
  }

  // Going somewhere.

  async toLatest() {
    if (await this.load("")) this.follow();
  }

  async toBeginning() {
    this.unfollow();
    if (await this.load(BEGINNING)) {
      this.hasOlder = false;
      this.box.scrollTop = 0;
    }
  }

  /** Chooses a record: it is marked, and is what the address means. */
  choose(item, block = "nearest") {
    this.unfollow();
    for (const other of this.list.querySelectorAll("li.target")) other.classList.remove("target");
    item.classList.add("target");
    const query = conditions(this.form).toString();
    history.replaceState(null, "", `?at=${item.id}${query && `&${query}`}#${item.id}`);
    makeCurrent(this.list, item, block);
  }

  current() {
    return this.list.querySelector("[aria-current]");
  }

  /** The next or previous error, wherever it is in the stream. */
  async jump(way) {
    const here = this.current() ?? (way > 0 ? this.list.firstElementChild : this.list.lastElementChild);
    if (!here) return;
    let place = `${way > 0 ? "after" : "before"}=${here.id}`;
    for (;;) {
      const query = `${place}&level=error&count=1`;
      const page = await ask(`${this.base}/records`, query).catch((error) => this.say(error.message));
      if (!page) return;
      const found = page.records[0]?.place;
      if (found) {
        if (document.getElementById(found) || (await this.load(`at=${found}`))) {
          const item = document.getElementById(found);
          if (item) this.choose(item, "center");
        }
        return;
      }
      if (way < 0 || !page.newer) break;
      place = `after=${page.to}`;
    }
    this.say(way > 0 ? "there is no error behind this record" : "there is no error before this record");
  }

  filter(event) {
    event.preventDefault();
    const query = conditions(this.form).toString();
    history.replaceState(null, "", location.pathname + (query && `?${query}`));
    this.toLatest();
  }

  clicked(event) {
    const link = event.target.closest("li > a");
    if (!link) return;
    event.preventDefault();
    this.choose(link.parentElement);
  }

  key(event) {
    const step = (way) => {
      const here = this.current();
      const next = way > 0 ? here?.nextElementSibling : here?.previousElementSibling;
      const first = way > 0 ? this.list.firstElementChild : this.list.lastElementChild;
      const item = here ? next : first;
      if (item) {
        this.unfollow();
        makeCurrent(this.list, item, "nearest");
      }
    };
    onKey(event, {
      j: () => step(1),
      k: () => step(-1),
      g: () => this.toBeginning(),
      G: () => this.toLatest(),
      e: () => this.jump(1),
      E: () => this.jump(-1),
      "/": () => this.text.focus(),
      l: () => nextLevel(this.form),
      w: () => wrap(this.box, this.wrapButton),
      c: async () => this.say(await copy(this.list)),
      "?": () => help(this, KEYS),
    });
  }
}

customElements.define("stream-viewer", StreamViewer);
