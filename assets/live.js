// Loads a page of something that goes on again and again, and shows what changed. Whatever somebody has focused or
// selected in it stays as it is meanwhile.

const live = /** @type {HTMLElement | null} */ (document.querySelector("[data-live]"));
const seconds = Number(live?.dataset.live ?? 0);

/** Whether somebody is at something in it that must not go. */
function isUsed() {
  const selected = document.getSelection();
  const within = selected && !selected.isCollapsed && live.contains(selected.anchorNode);
  return within || (live.contains(document.activeElement) && document.activeElement !== document.body);
}

async function look() {
  if (document.hidden || isUsed()) return seconds;
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok) return seconds;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const next = /** @type {HTMLElement | null} */ (page.querySelector("[data-live]"));
  if (next && next.textContent !== live.textContent && !isUsed()) {
    live.replaceChildren(...next.childNodes);
    document.title = page.title;
  }
  return Number(next?.dataset.live ?? 0);
}

async function go() {
  for (let wait = seconds; wait > 0; ) {
    await new Promise((done) => setTimeout(done, wait * 1000));
    // The server may be away for a while.
    wait = await look().catch(() => seconds);
  }
}

go();
