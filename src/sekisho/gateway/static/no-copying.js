// Only what is seen leaves a room: nothing can be selected, copied, cut or dragged out of the terminal. This keeps honest people from accidents; whoever owns the browser can
// read what it is sent (docs say so). Paste in is the page's too: what is pasted loses its control characters, so that no text can end the bracketed paste that carries it.

const CONTROLS = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;

export function refuseCopying(terminal, host) {
  for (const kind of ["copy", "cut", "dragstart"]) {
    addEventListener(kind, (event) => { event.preventDefault(); event.stopImmediatePropagation(); }, true);
  }
  terminal.onSelectionChange(() => { if (terminal.hasSelection()) terminal.clearSelection(); });
  host.addEventListener("mousedown", (event) => {
    const programTakesMouse = terminal.modes.mouseTrackingMode !== "none" && !event.shiftKey;
    if (event.button !== 0 || programTakesMouse) return;
    event.preventDefault();
    event.stopPropagation();
    terminal.focus();
  }, true);
}

export function takePastes(terminal, host, isAllowed, onRefused) {
  host.addEventListener("paste", (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
    const text = event.clipboardData ? event.clipboardData.getData("text/plain") : "";
    if (isAllowed()) terminal.paste(text.replace(CONTROLS, ""));
    else onRefused();
  }, true);
  host.addEventListener("drop", (event) => { event.preventDefault(); event.stopImmediatePropagation(); }, true);
}
