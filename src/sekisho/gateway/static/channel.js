// The binary half of a line as noVNC wants it: an object like a WebSocket. Text messages never come here, and closing it closes nothing but noVNC.

export class Channel {
  constructor(send) {
    this.pass = send;
    this.binaryType = "arraybuffer";
    this.protocol = "";
    this.readyState = WebSocket.OPEN;
    this.onopen = this.onmessage = this.onclose = this.onerror = null;
  }

  send(bytes) { if (this.readyState === WebSocket.OPEN) this.pass(bytes); }

  receive(bytes) { if (this.readyState === WebSocket.OPEN) this.onmessage({ data: bytes }); }

  close() {
    this.readyState = WebSocket.CLOSED;
    queueMicrotask(() => this.onclose({ code: 1000, reason: "" })); // a WebSocket tells later, and noVNC relies on it
  }
}
