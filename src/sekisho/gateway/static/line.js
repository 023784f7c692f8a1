// The WebSocket of a terminal, kept up: it connects, and connects again with the ticket it was given for that, until the room says that it is over.

const PAUSES = [0.5, 1, 2, 4, 8, 15];
const FIRST_TRIES = 3;
const FRAME_BYTES = 65536;
const PASSING = "control-unavailable"; // as while everything is started again around a room that lives on
const INPUT_WAITING_BYTES = 4 * 1024 * 1024;

export class Line {
  // on: {admitted(welcome), output(bytes), extended(endsAt), refused(refusal), ended(reason), lost(), unreachable()}
  constructor({ address, ticket, size, on }) {
    this.address = address;
    this.ticket = ticket;
    this.size = size;
    this.on = on;
    this.failures = 0;
    this.wasAdmitted = false;
    this.isOver = false;
    this.socket = null;
    this.encoder = new TextEncoder();
  }

  connect() {
    const socket = new WebSocket(this.address);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      const { cols, rows } = this.size();
      socket.send(JSON.stringify({ ticket: this.ticket, columns: cols, rows }));
    };
    socket.onmessage = ({ data }) => (typeof data === "string" ? this.hear(JSON.parse(data)) : this.on.output(new Uint8Array(data)));
    socket.onclose = () => this.closed();
  }

  hear(message) {
    if (message.admitted) {
      this.failures = 0;
      this.wasAdmitted = true;
      this.ticket = message.admitted.again;
      this.on.admitted(message.admitted);
    } else if (message.extended) this.on.extended(message.extended.ends_at);
    else if (message.refused && this.wasAdmitted && message.refused.reason === PASSING) return; // the ticket is not used up: closed() tries again
    else if (message.refused) { this.isOver = true; this.on.refused(message.refused); }
    else if (message.ended) { this.isOver = true; this.on.ended(message.ended.reason); }
  }

  closed() {
    if (this.isOver) return;
    this.failures += 1;
    if (!this.wasAdmitted && this.failures >= FIRST_TRIES) { this.isOver = true; this.on.unreachable(); return; }
    this.on.lost();
    const pause = PAUSES[Math.min(this.failures - 1, PAUSES.length - 1)] * (0.75 + Math.random() / 2);
    setTimeout(() => this.connect(), pause * 1000);
  }

  get isOpen() { return this.socket !== null && this.socket.readyState === WebSocket.OPEN && this.wasAdmitted && !this.isOver; }

  type(bytes) {
    if (!this.isOpen || this.socket.bufferedAmount > INPUT_WAITING_BYTES) return;
    for (let at = 0; at < bytes.length; at += FRAME_BYTES) this.socket.send(bytes.subarray(at, at + FRAME_BYTES));
  }

  typeText(text) { this.type(this.encoder.encode(text)); }

  resize(cols, rows) { if (this.isOpen) this.socket.send(JSON.stringify({ resize: [cols, rows] })); }

  leave() { if (this.isOpen) this.socket.send(JSON.stringify({ leave: true })); }
}
