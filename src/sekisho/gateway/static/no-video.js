// Before noVNC is loaded: it tries at once whether the browser decodes H.264, which the gateway lets no room send. Some phones never answer that
// (novnc/noVNC#2034), and the page would stay empty.

delete globalThis.VideoDecoder;
