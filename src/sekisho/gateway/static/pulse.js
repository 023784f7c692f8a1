// Whether the room is still there. A desktop at rest sends nothing, so its silence means nothing; but one pixel that is asked for comes, or the way to the
// room is cut and nobody said so: a VPN that went down, a room that was frozen.

const SILENT_MS = 15_000;
const ANSWER_MS = 10_000;
const LOOK_MS = 2_500;
const ONE_PIXEL = Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 1, 0, 1); // FramebufferUpdateRequest of 1 by 1 at 0, 0: RFC 6143 §7.5.3

export class Pulse {
  // ask(bytes): sends them; gone(): no answer came.
  constructor({ ask, gone }) {
    this.ask = ask;
    this.gone = gone;
    this.timer = null;
  }

  start() {
    this.stop();
    this.sentAt = this.heardAt = performance.now();
    this.askedAt = null;
    this.timer = setInterval(() => this.look(performance.now()), LOOK_MS);
  }

  stop() { clearInterval(this.timer); }

  sent() { this.sentAt = performance.now(); }

  heard() {
    this.heardAt = performance.now();
    this.askedAt = null;
  }

  look(now) {
    if (this.askedAt !== null && now - this.askedAt > ANSWER_MS) {
      this.stop();
      this.gone();
    } else if (this.askedAt === null && this.sentAt > this.heardAt && now - this.heardAt > SILENT_MS) { // somebody is at work and sees no answer
      this.askedAt = now;
      this.ask(ONE_PIXEL);
    }
  }
}
