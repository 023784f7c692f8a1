"""The site that the demonstration's room may reach: a real HTTPS server on a loopback address of the installation's own, which takes an
upload and says how many lines it had."""

import ssl
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sekisho.programs.certificates import make_certificate
from sekisho.programs.demo import SITE_NAME, SITE_PORT, site_address
from sekisho.programs.life import end_with
from sekisho.programs.start import parse_arguments, run_program
from sekisho.settings import open_installation
from sekisho.system import kernel

UPLOAD_LIMIT_BYTES = 16 << 20
_PAGE = (
    "<!doctype html><html lang=en><title>Demo CRM</title><h1>Demo CRM</h1><p>Upload a list: <code>curl --data-binary @list.csv https://{name}/upload</code>\n"
)


class Site(BaseHTTPRequestHandler):
    """GET / gives a page, POST /upload counts lines; all else is 404."""

    protocol_version = "HTTP/1.1"
    server_version = "demo-crm"
    timeout = 30

    def handle(self) -> None:
        with suppress(OSError):  # a client that goes away is no news
            super().handle()

    def do_GET(self) -> None:
        if self.path == "/":
            self._answer(HTTPStatus.OK, _PAGE.format(name=SITE_NAME))
        else:
            self._answer(HTTPStatus.NOT_FOUND, "not found\n")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != "/upload" or not length.isdecimal() or int(length) > UPLOAD_LIMIT_BYTES:
            self._answer(HTTPStatus.BAD_REQUEST, "POST /upload with a Content-Length\n")
            return
        lines = self.rfile.read(int(length)).count(b"\n")
        self._answer(HTTPStatus.OK, f"taken: {lines} lines\n")

    def _answer(self, status: HTTPStatus, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8" if content.startswith(b"<!") else "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Silent: what a demonstration's room reached is in Sekisho's log."""


def main() -> None:
    arguments = parse_arguments("demo-site")
    installation = open_installation(arguments.state)
    certificate, key = installation.tls("demo-site")
    make_certificate(installation.state / "tls", (SITE_NAME,), certificate, key, datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer((site_address(installation), SITE_PORT), Site)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    kernel.set_name("sekisho-demo")
    kernel.become(installation.uid("gateway") + 8)
    if arguments.parent:
        end_with(arguments.parent)
    server.serve_forever()


if __name__ == "__main__":
    run_program(main)
