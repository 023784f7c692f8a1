// The WebSocket of a room, kept up: it connects, and connects again with the ticket it was given for that, until the room says that it is over.

const PAUSES = [0.5, 1, 2, 4, 8, 15];
const FIRST_TRIES = 3;
const FRAME_BYTES = 65536;
const PASSING = "control-unavailable"; // as while everything is started again around a room that lives on
const INPUT_WAITING_BYTES = 4 * 1024 * 1024;

export class Line {
  // hello(): what the first message says beside the ticket.
  // on: {admitted(welcome), output(bytes), said(message), extended(endsAt), refused(refusal), ended(reason), lost(), unreachable()}
  constructor({ address, ticket, hello, on }) {
    this.address = address;
    this.ticket = ticket;
    this.hello = hello;
    this.on = on;
    this.failures = 0;
    this.wasAdmitted = false;
    this.isLeaving = false;
    this.isOver = false;
    this.socket = null;
    this.waiting = null;
    this.encoder = new TextEncoder();
    for (const change of ["online", "offline"]) addEventListener(change, () => this.cut()); // or the loss would be felt only when TCP gives up, minutes later
  }

  connect() {
    const socket = new WebSocket(this.address);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.waiting = null;
    socket.onopen = () => socket.send(JSON.stringify({ ticket: this.ticket, ...this.hello() }));
    socket.onmessage = ({ data }) => (typeof data === "string" ? this.hear(JSON.parse(data)) : this.on.output(new Uint8Array(data)));
    socket.onclose = () => this.closed();
  }

  hear(message) {
    if (message.admitted) {
      this.failures = 0;
      this.wasAdmitted = true;
      this.ticket = message.admitted.again;
      this.on.admitted(message.admitted);
      if (this.isLeaving) this.leave();
    } else if (message.extended) this.on.extended(message.extended.ends_at);
    else if (message.refused && this.wasAdmitted && message.refused.reason === PASSING) return; // the ticket is not used up: closed() tries again
    else if (message.refused) { this.isOver = true; this.on.refused(message.refused); }
    else if (message.ended) { this.isOver = true; this.on.ended(message.ended.reason); }
    else this.on.said(message);
  }

  closed() {
    if (this.isOver) return;
    this.failures += 1;
    if (!this.wasAdmitted && this.failures >= FIRST_TRIES) { this.isOver = true; this.on.unreachable(); return; }
    this.on.lost();
    const pause = PAUSES[Math.min(this.failures - 1, PAUSES.length - 1)] * (0.75 + Math.random() / 2);
    this.waiting = setTimeout(() => this.connect(), pause * 1000);
  }

  cut() { // the network is another one now: nothing is waited for, neither the old socket's end nor the pause
    if (this.isOver || !this.wasAdmitted) return;
    clearTimeout(this.waiting);
    this.abandon();
    this.failures = 0;
    this.closed();
  }

  stop() {
    this.isOver = true;
    this.abandon();
  }

  abandon() {
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
  }

  get isOpen() { return this.socket !== null && this.socket.readyState === WebSocket.OPEN && this.wasAdmitted && !this.isOver; }

  send(bytes) {
    if (!this.isOpen || this.socket.bufferedAmount > INPUT_WAITING_BYTES) return;
    for (let at = 0; at < bytes.length; at += FRAME_BYTES) this.socket.send(bytes.subarray(at, at + FRAME_BYTES));
  }

  sendText(text) { this.send(this.encoder.encode(text)); }

  tell(message) { if (this.isOpen) this.socket.send(JSON.stringify(message)); }

  leave() {
    this.isLeaving = true; // said again after a lost network: whoever leaves is not brought back
    this.tell({ leave: true });
  }
}
