// The picture of a room and the way in for keys and mouse: noVNC, whose clipboard is left unheard, and what a browser does with keys and pictures kept off.

import "./no-video.js";
import RFB from "./vendor/novnc/core/rfb.js";
import { Channel } from "./channel.js";
import { Pulse } from "./pulse.js";

const QUALITY = 6;
const COMPRESSION = 2;

export class Screen {
  // on: {shown(), broken()}: the picture is there; it cannot be understood.
  constructor(host, line, on) {
    this.host = host;
    this.line = line;
    this.on = on;
    this.rfb = null;
    this.channel = null;
    this.pulse = new Pulse({ ask: (bytes) => line.send(bytes), gone: () => line.cut() });
    host.addEventListener("contextmenu", (event) => event.preventDefault()); // it offers to save the picture
    host.addEventListener("focusout", () => dispatchEvent(new Event("blur"))); // noVNC lets go of held keys when the window loses the keyboard only
  }

  open(label) {
    this.close();
    const channel = new Channel((bytes) => this.send(bytes));
    const rfb = new RFB(this.host, channel, { shared: true });
    this.channel = channel;
    this.rfb = rfb;
    rfb.resizeSession = true;
    rfb.scaleViewport = true; // for a room that keeps its size
    rfb.showDotCursor = true; // where the room shows no pointer
    rfb.qualityLevel = QUALITY;
    rfb.compressionLevel = COMPRESSION;
    rfb.background = "transparent";
    rfb.addEventListener("connect", () => { this.pulse.start(); this.on.shown(); });
    for (const trouble of ["disconnect", "securityfailure", "credentialsrequired", "serververification"]) {
      rfb.addEventListener(trouble, () => { if (this.rfb === rfb) this.on.broken(); });
    }
    this.name(label);
  }

  name(label) {
    const canvas = this.host.querySelector("canvas");
    if (!canvas) return;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application"); // keys are the room's; a screen reader must not take them
    canvas.setAttribute("aria-label", label);
    canvas.setAttribute("aria-keyshortcuts", "Control+Alt+Home");
  }

  send(bytes) {
    this.pulse.sent();
    this.line.send(bytes);
  }

  receive(bytes) {
    if (!bytes.length) return; // the gateway asks whether this browser is still there, while the room takes nothing
    this.pulse.heard();
    if (this.channel) this.channel.receive(bytes);
  }

  focus() { if (this.rfb) this.rfb.focus({ preventScroll: true }); }

  press(keysyms) {
    if (!this.rfb) return;
    for (const keysym of keysyms) this.rfb.sendKey(keysym, null, true);
    for (const keysym of [...keysyms].reverse()) this.rfb.sendKey(keysym, null, false);
  }

  close() {
    const { rfb } = this;
    this.rfb = this.channel = null;
    this.pulse.stop();
    if (rfb) rfb.disconnect();
  }
}
