// The terminal's page: puts together the line, the terminal and the frame around it.

import { byId, makeFrame, takeTicket } from "./frame.js";
import { Line } from "./line.js";
import { refuseCopying, takePastes } from "./no-copying.js";
import { allowStyles } from "./strict-styles.js";

const FONTS = '"DejaVu Sans Mono", ui-monospace, "SF Mono", Menlo, Consolas, "Noto Sans Mono CJK JP", "Source Han Code JP", "BIZ UDGothic", "MS Gothic", "Osaka-Mono", monospace';
const COLUMNS_LIMIT = 1000;
const ROWS_LIMIT = 500;

const ticket = takeTicket();
allowStyles(document.body.dataset.styleNonce);
const frame = await makeFrame({ worded: showWords, leave: () => line.leave(), stay: () => terminal.focus(), over });

const terminal = new globalThis.Terminal({
  allowTransparency: false,
  cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
  fontFamily: FONTS,
  fontSize: 15,
  linkHandler: { activate() {}, hover() {}, leave() {} }, // no link leads out of a room; the gateway takes them out as well
  macOptionIsMeta: false,
  rightClickSelectsWord: false,
  scrollback: 5000,
  theme: { background: "#0d1117", foreground: "#e6edf3", cursor: "#f3c86a" },
});
const fit = new globalThis.FitAddon.FitAddon();
terminal.loadAddon(fit);
terminal.open(byId("terminal"));
refuseCopying(terminal, byId("terminal"));
takePastes(terminal, byId("terminal"), () => frame.welcome === null || frame.welcome.paste_in, () => frame.speak(frame.say("pasteRefused")));

const line = new Line({
  address: `wss://${location.host}/terminal/ws`,
  ticket,
  hello: () => ({ columns: Math.min(terminal.cols, COLUMNS_LIMIT), rows: Math.min(terminal.rows, ROWS_LIMIT) }),
  on: {
    admitted,
    output: (bytes) => terminal.write(bytes),
    said: () => {}, // a terminal's gateway says nothing else
    extended: (endsAt) => frame.extended(endsAt),
    refused: (refusal) => frame.refused(refusal),
    ended: (reason) => frame.ended(reason),
    lost: () => frame.lost(),
    unreachable: () => frame.finish(frame.say("unreachable"), "unreachable"),
  },
});

terminal.onData((text) => line.sendText(text));
terminal.onBinary((text) => line.send(Uint8Array.from(text, (character) => character.charCodeAt(0))));
terminal.onResize(({ cols, rows }) => line.tell({ resize: [Math.min(cols, COLUMNS_LIMIT), Math.min(rows, ROWS_LIMIT)] }));
terminal.attachCustomKeyEventHandler((event) => {
  if (!(event.ctrlKey && event.altKey && event.key === "Home")) return true;
  if (event.type === "keydown") byId("reader").focus(); // Tab belongs to the room, so this is the way out of the terminal
  return false;
});
new ResizeObserver(() => fit.fit()).observe(byId("terminal"));

byId("reader").addEventListener("click", () => {
  terminal.options.screenReaderMode = !terminal.options.screenReaderMode;
  byId("reader").setAttribute("aria-pressed", String(terminal.options.screenReaderMode));
  terminal.focus();
});

frame.showWords();
document.fonts.ready.then(() => fit.fit());
if (ticket) { frame.lost(); line.connect(); } else frame.finish(frame.say("noTicket"), "");

function showWords() {
  byId("terminal").setAttribute("aria-label", frame.say("terminalLabel"));
  const { welcome } = frame;
  byId("paste-hint").textContent = frame.say(welcome && !welcome.paste_in ? "noPaste" : /Mac/.test(navigator.platform) ? "pasteMac" : "paste");
}

function admitted(welcome) {
  frame.admitted(welcome);
  terminal.reset(); // what follows is a replay of what was shown
  fit.fit();
  terminal.focus();
}

function over() {
  terminal.options.disableStdin = true;
  terminal.reset(); // nothing of the room stays on the screen
}
