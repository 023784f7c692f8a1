// Keys that mean something here before they could mean something in the room: the way out of the desktop, a Mac's paste, and a local input method's.

const HINT_PAUSE_MS = 60_000;

// on: {wayOut(), composing()}
export function watchKeys(host, on) {
  let hintedAt = -Infinity;
  const compose = (event) => {
    if (event.timeStamp - hintedAt < HINT_PAUSE_MS) return;
    hintedAt = event.timeStamp;
    on.composing();
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey && event.altKey && event.key === "Home") { swallow(event); on.wayOut(); }
  }, true);
  host.addEventListener("compositionstart", compose, true);
  host.addEventListener("keydown", (event) => {
    if (event.keyCode === 229 || event.isComposing) compose(event); // UI Events §7.3: an input method has the key
    if (isMacPaste(event)) event.stopImmediatePropagation(); // not prevented: the browser's paste event follows
  }, true);
}

function isMacPaste(event) { return /Mac/.test(navigator.platform) && event.metaKey && !event.ctrlKey && event.key === "v"; }

function swallow(event) {
  event.preventDefault();
  event.stopImmediatePropagation();
}
