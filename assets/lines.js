// How a line of a log stands in the page, and how lines are asked for. Texts become text nodes, so nothing of a log is
// ever read as HTML.

const SIGNS = { ERROR: "✕", WARN: "▲" };

/**
 * @typedef {{n: number, place?: string, time: string, level: string, text: string, whole?: number}} Line
 */

/** Makes the element of a line of a log, or of a record of a stream: three elements, however long it is. */
export function element(/** @type {Line} */ line, /** @type {string} */ base) {
  const item = document.createElement("li");
  item.className = line.level.toLowerCase();
  const link = document.createElement("a");
  item.id = line.place ?? (line.n ? `L${line.n}` : "");
  if (item.id) link.href = line.place ? `?at=${item.id}#${item.id}` : `#${item.id}`;
  link.textContent = (line.place ? line.time : line.n && String(line.n)) || "·";
  const text = document.createElement("span");
  const level = line.level ? `${SIGNS[line.level] ?? ""} ${line.level} ` : "";
  text.textContent = (line.place || !line.time ? "" : `${line.time} `) + level + line.text;
  if (line.whole) {
    const all = document.createElement("a");
    all.href = line.place ? `${base}/records/${line.place}` : `${base}/lines/${line.n}`;
    all.textContent = `all ${line.whole} bytes`;
    text.append(" … ", all);
  }
  item.append(link, text);
  return item;
}

/** Asks for lines; throws an error whose message a person can read. */
export async function ask(address, query, signal) {
  const answer = await fetch(`${address}?${query}`, { signal, headers: { accept: "application/json" } });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.error ?? `the server says ${answer.status}`);
  return said;
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
