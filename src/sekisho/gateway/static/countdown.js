// The time that is left, by the server's clock: shown each second, said aloud at ten, five and one minute.

const SPOKEN_MINUTES = [10, 5, 1];

export class Countdown {
  constructor({ show, speak }) {
    this.show = show;
    this.speak = speak;
    this.endsAt = null;
    this.ahead = 0; // seconds that the server's clock is ahead of ours
    this.spoken = new Set();
    setInterval(() => this.tick(), 1000);
  }

  start(endsAt, now) {
    this.ahead = now - Date.now() / 1000;
    this.set(endsAt);
  }

  set(endsAt) {
    this.endsAt = endsAt;
    const left = this.left();
    this.spoken = new Set(SPOKEN_MINUTES.filter((minutes) => left <= minutes * 60 - 30));
    this.tick();
  }

  stop() { this.endsAt = null; }

  left() { return Math.max(0, this.endsAt - (Date.now() / 1000 + this.ahead)); }

  tick() {
    if (this.endsAt === null) return;
    const left = this.left();
    this.show(left);
    const due = SPOKEN_MINUTES.filter((minutes) => left <= minutes * 60 && !this.spoken.has(minutes));
    if (due.length === 0) return;
    due.forEach((minutes) => this.spoken.add(minutes));
    this.speak(Math.min(...due));
  }
}
