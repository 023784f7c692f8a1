// The one way in for text: a box beside the desktop, whose content is handed to the gateway, which decides, records that text came in and how long it was,
// and puts it into the room's clipboard.

import { byId } from "./frame.js";

const LIMIT_BYTES = 65536;

export class PasteBox {
  // put(number, text): hands it over. on: {shut()}: the box is away, and the keyboard is free.
  constructor(frame, put, on) {
    this.frame = frame;
    this.put = put;
    this.on = on;
    this.number = 0;
    this.isWaiting = false;
    this.encoder = new TextEncoder();
    this.decoder = new TextDecoder();
    byId("paste-text").addEventListener("input", () => this.edited());
    byId("paste-put").addEventListener("click", () => this.hand());
    byId("paste-shut").addEventListener("click", () => this.shut());
    byId("paste-box").addEventListener("keydown", (event) => {
      if (event.isComposing) return; // an input method is at work, which is welcome here
      if (event.key === "Escape") this.shut();
      else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.hand();
    });
  }

  get isOff() { return this.frame.welcome !== null && !this.frame.welcome.paste_in; }

  open(text = "") {
    if (this.isOff) { this.frame.speak(this.frame.say("pasteOffWhy")); return; }
    byId("paste-box").show();
    if (text) byId("paste-text").value = text;
    this.edited();
    byId(text ? "paste-put" : "paste-text").focus();
  }

  shut() {
    this.empty();
    byId("paste-box").close();
    this.on.shut();
  }

  empty() {
    this.isWaiting = false;
    byId("paste-text").value = ""; // what was meant for a room does not lie about in a page
    this.edited();
  }

  bytes() { return this.encoder.encode(byId("paste-text").value.replaceAll("\0", "")); } // NUL ends a text in a clipboard

  edited() {
    const bytes = this.bytes().length;
    const isTooLong = bytes > LIMIT_BYTES;
    const number = (value) => value.toLocaleString(this.frame.language);
    byId("paste-count").textContent = this.frame.say("pasteCount", { bytes: number(bytes), limit: number(LIMIT_BYTES) });
    byId("paste-count").classList.toggle("soon", isTooLong);
    byId("paste-text").setAttribute("aria-invalid", String(isTooLong));
    this.answer(isTooLong ? this.frame.say("pasteTooLong", { bytes: number(bytes - LIMIT_BYTES) }) : "");
    byId("paste-put").disabled = this.isWaiting || isTooLong || bytes === 0;
  }

  answer(text) { byId("paste-answer").textContent = text; }

  hand() {
    if (byId("paste-put").disabled) return;
    this.number += 1;
    this.isWaiting = true;
    byId("paste-put").disabled = true;
    this.answer(this.frame.say("pasteWaiting"));
    this.put(this.number, this.decoder.decode(this.bytes())); // well-formed by now: half a surrogate is no text
  }

  pasted({ number }) {
    if (!this.isWaiting || number !== this.number) return;
    this.shut();
    this.frame.speak(this.frame.say("pasted"));
  }

  refused(refusal) {
    if (this.isWaiting && refusal.number === this.number) this.failed(this.frame.sentence(refusal));
  }

  lost() { if (this.isWaiting) this.failed(this.frame.say("pasteLost")); }

  failed(text) {
    this.isWaiting = false;
    this.edited();
    this.answer(text);
    byId("paste-text").focus();
  }
}
