"""A service that says what a test tells it to, one answer after another: for what a real one can't be made to do."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Answer = Callable[[bytes], bytes | None]  # from a request's head to the bytes that go out; None: hang up


class Scripted:
    """`asked` are the heads of the requests so far."""

    def __init__(self, listener: socket.socket, answers: Iterator[Answer]) -> None:
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.asked: list[bytes] = []
        self._answers = answers
        self._lock = threading.Lock()

    def serve(self, end: socket.socket) -> None:
        with contextlib.suppress(OSError), end:
            while head := self._head(end):
                with self._lock:
                    self.asked.append(head)
                    answer = next(self._answers)(head)
                if answer is None:
                    return
                end.sendall(answer)
                if b"Connection: close" in answer:
                    return

    @staticmethod
    def _head(end: socket.socket) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (chunk := end.recv(65536)):
                return b""
            head += chunk
        return head


@contextlib.contextmanager
def scripted(*answers: Answer) -> Iterator[Scripted]:
    """Answers in the order of asking; the last one for ever."""

    def endless() -> Iterator[Answer]:
        yield from answers
        while True:
            yield answers[-1]

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        made = Scripted(listener, endless())

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    end, _ = listener.accept()
                    threading.Thread(target=made.serve, args=(end,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield made
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def ok(body: bytes, **headers: str) -> Answer:
    return said(200, body, **headers)


def said(status: int, body: bytes = b"", *, promised: int | None = None, **headers: str) -> Answer:
    """`promised`: a length that the body does not have; then it hangs up."""
    lines = [f"HTTP/1.1 {status} As Told", f"Content-Length: {len(body) if promised is None else promised}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if promised is not None:
        lines.append("Connection: close")
    return lambda _head: ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def error(status: int, code: str) -> Answer:
    return said(status, f"<Error><Code>{code}</Code><Message>a secret word</Message></Error>".encode())


def listing(*objects: tuple[str, int], etag: str = "&quot;e&quot;") -> Answer:
    each = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00Z</LastModified><ETag>{etag}</ETag><Size>{size}</Size></Contents>" for key, size in objects
    )
    return ok(f"<ListBucketResult><IsTruncated>false</IsTruncated>{each}</ListBucketResult>".encode())
