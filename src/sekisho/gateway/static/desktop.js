// The desktop's page: puts together the line, the screen, the paste box and the frame around them.

import { Bar } from "./bar.js";
import { byId, makeFrame, takeTicket } from "./frame.js";
import { Line } from "./line.js";
import { watchKeys } from "./local-keys.js";
import { PasteBox } from "./paste-box.js";
import { Screen } from "./screen.js";

const ticket = takeTicket();
const frame = await makeFrame({ worded: showWords, leave: () => line.leave(), stay: () => screen.focus(), over });
const line = new Line({
  address: `wss://${location.host}/desktop/ws`,
  ticket,
  hello: () => ({}),
  on: {
    admitted,
    output: (bytes) => screen.receive(bytes),
    said,
    extended: (endsAt) => frame.extended(endsAt),
    refused: (refusal) => frame.refused(refusal),
    ended: (reason) => frame.ended(reason),
    lost,
    unreachable: () => frame.finish(frame.say("unreachable"), "unreachable"),
  },
});
const screen = new Screen(byId("desktop"), line, { shown, broken });
const box = new PasteBox(frame, (number, text) => line.tell({ paste: { number, text } }), { shut: () => screen.focus() });
const bar = new Bar({ back: () => screen.focus(), press: (keysyms) => screen.press(keysyms) });

watchKeys(byId("desktop"), { wayOut, composing: () => frame.speak(frame.say("localInput")) });
byId("paste").addEventListener("click", () => box.open());
document.addEventListener("paste", (event) => {
  if (event.target === byId("paste-text") || frame.welcome === null || line.isOver) return;
  event.preventDefault();
  box.open(event.clipboardData.getData("text/plain"));
});

frame.showWords();
if (ticket) { frame.lost(); line.connect(); } else frame.finish(frame.say("noTicket"), "");

function showWords() {
  screen.name(frame.say("desktopLabel"));
  byId("paste").textContent = frame.say(box.isOff ? "pasteOff" : "pasteIn");
  byId("paste").setAttribute("aria-disabled", String(box.isOff));
  byId("paste").title = box.isOff ? frame.say("pasteOffWhy") : "";
  box.edited();
}

function admitted(welcome) {
  frame.admitted(welcome);
  frame.notice(frame.say("opening"), "", { isPassing: true });
  screen.open(frame.say("desktopLabel"));
}

function shown() {
  byId("notice").hidden = true;
  byId("desktop").classList.remove("stale");
  if (document.activeElement === document.body) screen.focus();
}

function said(message) {
  if (message.pasted) box.pasted(message.pasted);
  else if (message["paste-refused"]) box.refused(message["paste-refused"]);
}

function lost() {
  byId("desktop").classList.add("stale");
  box.lost();
  frame.lost();
}

function broken() {
  line.stop();
  frame.finish(frame.say("unreadable"), "unreadable");
}

function wayOut() {
  if (line.isOver) return;
  if (byId("bar").contains(document.activeElement)) screen.focus();
  else bar.reveal();
}

function over() {
  document.body.classList.add("over");
  byId("bar").hidden = false;
  byId("help-dialog").close();
  box.empty();
  byId("paste-box").close();
  screen.close(); // nothing of the room stays on the screen
}
