// The desktop's bar: hidden and shown, folded into a menu on a narrow window, the panel of keys, help, and the full screen.

import { byId } from "./frame.js";

export class Bar {
  // on: {back(), press(keysyms)}: the keyboard goes back to the room; keys are sent to it.
  constructor(on) {
    this.on = on;
    byId("hide").addEventListener("click", () => this.hide());
    byId("show-bar").addEventListener("click", () => this.reveal());
    byId("menu").addEventListener("click", () => this.fold(byId("tools").classList.contains("open")));
    byId("tools").addEventListener("click", () => this.fold(true));
    byId("keys").addEventListener("click", () => this.showKeys(byId("keys-panel").hidden));
    byId("help").addEventListener("click", () => byId("help-dialog").showModal());
    byId("help-dialog").addEventListener("close", () => on.back());
    byId("full").addEventListener("click", () => this.toggleFullScreen());
    byId("full").hidden = !document.fullscreenEnabled;
    for (const button of document.querySelectorAll("[data-press]")) button.addEventListener("click", () => this.press(button.dataset.press));
    document.addEventListener("fullscreenchange", () => byId("full").setAttribute("aria-pressed", String(document.fullscreenElement !== null)));
    addEventListener("keydown", (event) => this.escape(event));
  }

  hide() {
    this.showKeys(false);
    byId("bar").hidden = true;
    byId("show-bar").hidden = false;
    this.on.back();
  }

  reveal() {
    byId("bar").hidden = false;
    byId("show-bar").hidden = true;
    const isFolded = getComputedStyle(byId("menu")).display !== "none";
    byId(isFolded ? "menu" : "paste").focus();
  }

  fold(isFolded) {
    byId("tools").classList.toggle("open", !isFolded);
    byId("menu").setAttribute("aria-expanded", String(!isFolded));
  }

  showKeys(isShown) {
    byId("keys-panel").hidden = !isShown;
    byId("keys").setAttribute("aria-expanded", String(isShown));
    if (isShown) byId("keys-panel").querySelector("button").focus();
  }

  press(hexadecimal) {
    this.showKeys(false);
    this.on.press(hexadecimal.split(" ").map((keysym) => parseInt(keysym, 16)));
    this.on.back();
  }

  escape(event) {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    if (!byId("keys-panel").hidden) { this.showKeys(false); byId("keys").focus(); }
    if (byId("tools").classList.contains("open")) { this.fold(true); byId("menu").focus(); }
  }

  async toggleFullScreen() {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await this.fillScreen();
    this.on.back();
  }

  async fillScreen() {
    await document.documentElement.requestFullscreen();
    if (navigator.keyboard && navigator.keyboard.lock) await navigator.keyboard.lock(); // Chromium: Alt+Tab, Ctrl+W and Escape reach the room too
  }
}
