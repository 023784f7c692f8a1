"""A desktop over the gateway's WebSocket, as its page uses it, but without a browser: a second client that speaks RFB (RFC 6143) and asks for raw pixels."""

import json
import struct

from tests.whole.system import PATIENCE_SECONDS, Line, Whole

_VERSION = b"RFB 003.008\n"
_SET_ENCODINGS, _UPDATE_REQUEST, _KEY = 2, 3, 4
_UPDATE, _BELL = 0, 2
_RAW = 0


class Viewer(Line):
    def __init__(self, whole: Whole, url: str, ticket: str) -> None:
        super().__init__(whole, url, ticket)
        self._waiting = b""
        self._answers: dict[int, dict] = {}
        self._pastes = 0
        if "admitted" in self.said:
            self._greet()

    def pixel(self, x: int, y: int) -> tuple[int, ...]:
        """Red, green, blue, as they are in the room now."""
        self._socket.send(struct.pack(">BB4H", _UPDATE_REQUEST, 0, x, y, 1, 1))
        while True:
            (kind,) = self._take(1)
            if kind == _BELL:
                continue
            assert kind == _UPDATE, kind
            (count,) = struct.unpack(">xH", self._take(3))
            for _ in range(count):
                *_place, width, height, encoding = struct.unpack(">4Hi", self._take(12))
                assert encoding == _RAW, encoding
                pixels = self._take(width * height * 4)
                if (width, height) == (1, 1):
                    return tuple(pixels[:3])

    def key(self, symbol: int) -> None:
        for is_down in (1, 0):
            self._socket.send(struct.pack(">BBxxI", _KEY, is_down, symbol))

    def paste(self, text: str) -> int:
        """Hand it over; gives the number that its answer will have."""
        self._pastes += 1
        self._socket.send(json.dumps({"paste": {"number": self._pastes, "text": text}}))
        return self._pastes

    def answer(self, number: int) -> str:
        """`pasted`, or the reason why not. Raises ConnectionClosed if the gateway is gone."""
        while number not in self._answers:
            self._receive()
        return self._answers[number].get("reason", "pasted")

    def sentence(self, number: int) -> str:
        """What is said of a paste that was refused."""
        self.answer(number)
        return self._answers[number]["sentence"]

    def hear(self, said: dict) -> None:
        super().hear(said)
        for word in ("pasted", "paste-refused"):
            if word in said:
                self._answers[said[word]["number"]] = said[word]

    def _greet(self) -> None:
        """RFC 6143 §7.1-7.3, then nothing but raw pixels."""
        for heard, said in ((len(_VERSION), _VERSION), (2, b"\x01"), (4, b"\x01")):
            self._take(heard)
            self._socket.send(said)
        (name,) = struct.unpack(">20xI", self._take(24))
        self._take(name)
        self._socket.send(struct.pack(">BxHi", _SET_ENCODINGS, 1, _RAW))

    def _take(self, count: int) -> bytes:
        while len(self._waiting) < count:
            self._receive()
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def _receive(self) -> None:
        """The next message, whatever it is. Raises ConnectionClosed or TimeoutError."""
        message = self._socket.recv(timeout=PATIENCE_SECONDS)
        if isinstance(message, bytes):
            self._waiting += message
        else:
            self.hear(json.loads(message))
