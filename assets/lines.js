// How a line of a log stands in the page, and how lines are asked for. Texts become text nodes, so nothing of a log is
// ever read as HTML.

const SIGNS = { ERROR: "✕", WARN: "▲" };

/**
 * @typedef {{n: number, time: string, level: string, text: string, whole?: number}} Line
 * @typedef {{lines: Line[], from: number, to: number, total: number, open: boolean, found: ?number}} Lines
 */

/** Makes the element of a line: three elements, however long it is. */
export function element(/** @type {Line} */ line, /** @type {string} */ base) {
  const item = document.createElement("li");
  item.className = line.level.toLowerCase();
  const number = document.createElement("a");
  if (line.n) {
    item.id = `L${line.n}`;
    number.href = `#L${line.n}`;
    number.textContent = String(line.n);
  } else {
    number.textContent = "·";
  }
  const text = document.createElement("span");
  const before = line.time ? `${line.time} ${SIGNS[line.level] ?? ""} ${line.level} ` : "";
  text.textContent = before + line.text;
  if (line.whole) {
    const all = document.createElement("a");
    all.href = `${base}/lines/${line.n}`;
    all.textContent = `all ${line.whole} bytes`;
    text.append(" … ", all);
  }
  item.append(number, text);
  return item;
}

/** Asks for lines; throws an error whose message a person can read. */
export async function ask(base, query, signal) {
  const answer = await fetch(`${base}/lines?${query}`, { signal, headers: { accept: "application/json" } });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.error ?? `the server says ${answer.status}`);
  return /** @type {Lines} */ (said);
}

/** `#L12` or `#L12-L15` as its first and last line; null if it is neither. */
export function range(/** @type {string} */ hash) {
  const found = /^#L(\d+)(?:-L?(\d+))?$/.exec(hash);
  if (!found) return null;
  const [one, other] = [Number(found[1]), Number(found[2] ?? found[1])];
  return { first: Math.min(one, other), last: Math.max(one, other) };
}

/** A count as people read it. */
export function grouped(/** @type {number} */ count) {
  return count.toLocaleString("en");
}
