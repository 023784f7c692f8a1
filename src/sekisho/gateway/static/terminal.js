// The terminal's page: puts together the line, the terminal, the bar and the words.

import { refuseCopying, takePastes } from "./no-copying.js";
import { Countdown } from "./countdown.js";
import { Line } from "./line.js";
import { allowStyles } from "./strict-styles.js";

const FONTS = '"DejaVu Sans Mono", ui-monospace, "SF Mono", Menlo, Consolas, "Noto Sans Mono CJK JP", "Source Han Code JP", "BIZ UDGothic", "MS Gothic", "Osaka-Mono", monospace';
const COLUMNS_LIMIT = 1000;
const ROWS_LIMIT = 500;

const byId = (id) => document.getElementById(id);
const ticket = decodeURIComponent(location.hash.slice(1));
history.replaceState(null, "", location.pathname); // the ticket is used once; it stays neither in the address nor in the history

allowStyles(document.body.dataset.styleNonce);
const words = await (await fetch("/static/words.json")).json();
let language = navigator.language.startsWith("ja") ? "ja" : "en";
let welcome = null;

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
takePastes(terminal, byId("terminal"), () => welcome === null || welcome.paste_in, () => speak(say("pasteRefused")));

const countdown = new Countdown({ show: showLeft, speak: (minutes) => speak(say("minutesLeft").replace("{minutes}", minutes)) });
const line = new Line({
  address: `wss://${location.host}/terminal/ws`,
  ticket,
  size: () => ({ cols: Math.min(terminal.cols, COLUMNS_LIMIT), rows: Math.min(terminal.rows, ROWS_LIMIT) }),
  on: {
    admitted,
    output: (bytes) => terminal.write(bytes),
    extended: (endsAt) => { countdown.set(endsAt); speak(say("extended")); },
    refused: ({ reason, sentence, facts }) => finish(translated(reason, sentence, facts), reason),
    ended: (reason) => finish((words[language].ended[reason] ?? translated(reason, say("over"), {})), reason),
    lost: () => notice(say(welcome ? "reconnecting" : "connecting"), "", { isPassing: true }),
    unreachable: () => finish(say("unreachable"), "unreachable"),
  },
});

terminal.onData((text) => line.typeText(text));
terminal.onBinary((text) => line.type(Uint8Array.from(text, (character) => character.charCodeAt(0))));
terminal.onResize(({ cols, rows }) => line.resize(Math.min(cols, COLUMNS_LIMIT), Math.min(rows, ROWS_LIMIT)));
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
byId("leave").addEventListener("click", () => byId("leave-dialog").showModal());
byId("leave-dialog").addEventListener("close", () => {
  if (byId("leave-dialog").returnValue === "leave") line.leave();
  else terminal.focus();
});

showWords();
document.fonts.ready.then(() => fit.fit());
if (ticket) { notice(say("connecting"), "", { isPassing: true }); line.connect(); } else finish(say("noTicket"), "");

function say(name) { return words[language][name]; }

function translated(reason, sentence, facts) {
  const known = words[language].refused[reason];
  return known ? known.replace(/\{(\w+)\}/g, (_, name) => facts[name] ?? "?") : sentence;
}

function showWords() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = say(element.dataset.word);
  byId("terminal").setAttribute("aria-label", say("terminalLabel"));
  byId("paste-hint").textContent = welcome && !welcome.paste_in ? say("noPaste") : say(/Mac/.test(navigator.platform) ? "pasteMac" : "paste");
}

function admitted(message) {
  welcome = message;
  language = message.language in words ? message.language : "en";
  showWords();
  document.title = `${message.title} – Sekisho`;
  byId("title").textContent = message.title;
  byId("person").textContent = message.person;
  byId("leave").disabled = false;
  byId("notice").hidden = true;
  terminal.reset(); // what follows is a replay of what was shown
  countdown.start(message.ends_at, message.now);
  fit.fit();
  terminal.focus();
}

function showLeft(seconds) {
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  byId("left").textContent = `${say("left")} ${hours ? `${hours}:` : ""}${two((seconds % 3600) / 60)}:${two(seconds % 60)}`;
  byId("left").classList.toggle("soon", seconds <= 600);
}

function notice(text, reason, { isPassing }) {
  byId("notice").className = isPassing ? "passing" : "";
  byId("notice").hidden = false;
  byId("notice-text").textContent = text;
  byId("notice-reason").textContent = reason ? `(${reason})` : "";
  byId("notice-link").hidden = isPassing;
}

function finish(text, reason) {
  countdown.stop();
  byId("left").textContent = "";
  byId("leave").disabled = true;
  byId("leave-dialog").close("stay");
  terminal.options.disableStdin = true;
  terminal.reset(); // nothing of the room stays on the screen
  notice(text, reason, { isPassing: false });
  byId("notice-link").focus();
}

function speak(text) {
  byId("spoken").textContent = "";
  requestAnimationFrame(() => { byId("spoken").textContent = text; });
}
