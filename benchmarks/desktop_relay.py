"""What a desktop costs on its way through the gateway: RFB framed from memory, and the whole relay against websockify, which checks nothing.

The pictures are a real Xvnc's: a screen like a coloured terminal, windows of one colour and a photograph, drawn over and over. They are recorded for each
encoding. From memory they go through `FromServer` alone. Tight, as noVNC asks for it, is then replayed by an RFB server on a Unix socket through
Sekisho's gateway (TLS, WebSocket, RFB on both sides) and through websockify (TLS, WebSocket) to the same client; rounds are interleaved, medians are
printed as JSON. CPU is the relay's own. Run it alone: two cores are all three processes have.

    .venv/bin/python benchmarks/desktop_relay.py [--rounds 5] [--megabytes 300] [--turns 2000]
"""

import argparse
import asyncio
import json
import os
import random  # noqa: TID251  the same pictures every time
import select
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).parents[1]))

import uvloop

from benchmarks.viewer import TEXT, WebSocket
from sekisho.gateway.desktop import wire
from sekisho.gateway.desktop.from_server import FromServer
from sekisho.gateway.desktop.handshake import with_server
from sekisho.gateway.desktop.wire import Frame
from tests.gateway.rooms_host import Desktop, make_certificate, rooms_host
from tests.gateway.x_program import XProgram
from tests.gateway.xvnc import Screen, start_screen

WIDTH, HEIGHT = 1280, 800
COMMON = (wire.LAST_RECT, wire.CURSOR)
ENCODINGS = {
    "tight": (wire.TIGHT, wire.COPY_RECT, -26, -254),
    "tight lossless": (wire.TIGHT, wire.COPY_RECT, -254),
    "zrle": (wire.ZRLE, wire.COPY_RECT),
    "hextile": (wire.HEXTILE, wire.COPY_RECT),
    "raw": (wire.RAW,),
}
RECORDED_BYTES = 8_000_000
RECORDING_SECONDS = 20.0
READ_BYTES = 65_536
ASK = struct.pack(">BB4H", wire.FRAMEBUFFER_UPDATE_REQUEST, 1, 0, 0, WIDTH, HEIGHT)
SMALL = struct.pack(">BxH4Hi", 0, 1, 0, 0, 8, 8, wire.TIGHT) + b"\x80rgb"
SERVER_INIT = struct.pack(">HH", WIDTH, HEIGHT) + wire.PIXEL_FORMAT + struct.pack(">I", 5) + b"bench"


@dataclass(frozen=True)
class Way:
    """Where the client connects, what the desktop is called at its end, and whose CPU counts."""

    name: str
    port: int
    path: str
    title: bytes
    process: int
    tickets: Iterator[str] | None = None


def child(act: Callable[[], None]) -> int:
    process = os.fork()
    if process:
        return process
    try:
        act()
    except BaseException:  # noqa: BLE001  a child must not go on as its parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


@contextmanager
def running(process: int) -> Iterator[int]:
    try:
        yield process
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def terminal_picture(chance: random.Random) -> bytes:
    """Cells of 8 by 16 with made-up glyphs in a few colours."""
    glyphs = [chance.randbytes(16) for _ in range(90)]
    inks = [struct.pack("<I", colour) for colour in (0xD4D4D4, 0x569CD6, 0xCE9178, 0x6A9955, 0xDCDCAA)]
    paper = struct.pack("<I", 0x1E1E1E)
    lines = []
    for _ in range(HEIGHT // 16):
        cells = [(chance.choice(glyphs) if chance.random() < 0.8 else bytes(16), chance.choice(inks)) for _ in range(WIDTH // 8)]
        lines += [b"".join(ink if glyph[y] >> bit & 1 else paper for glyph, ink in cells for bit in range(8)) for y in range(16)]
    return b"".join(lines)


def photograph(chance: random.Random) -> bytes:
    """Smooth with noise: what Tight sends as JPEG."""
    return b"".join(bytes((x * 255 // 320, y * 255 // 240, chance.randrange(40) + x * y % 200, 0)) for y in range(240) for x in range(320))


def draw(program: XProgram, pictures: list[bytes], photo: bytes, chance: random.Random) -> None:
    program.draw(0, 0, WIDTH, HEIGHT, chance.choice(pictures))
    program.draw(chance.randrange(900), chance.randrange(500), 320, 240, photo)
    for _ in range(5):
        program.fill(chance.randrange(1000), chance.randrange(700), chance.randrange(5, 200), chance.randrange(5, 100), chance.randrange(1 << 24))
    program.sync()


def record(screen: Screen, program: XProgram, encodings: tuple[int, ...]) -> bytes:
    """Whole updates of a real server, after its handshake."""
    chance = random.Random(1)  # noqa: S311
    pictures, photo = [terminal_picture(chance) for _ in range(3)], photograph(chance)
    end, handshake = screen.connect(), with_server()
    while handshake.result is None:
        end.sendall(handshake.feed(end.recv(READ_BYTES)))
    stream, said, whole = FromServer(handshake.result), bytearray(), 0
    end.sendall(wire.render_set_encodings((*encodings, *COMMON)))
    deadline = time.monotonic() + RECORDING_SECONDS
    while len(said) < RECORDED_BYTES and time.monotonic() < deadline:
        draw(program, pictures, photo, chance)
        end.sendall(ASK)
        while select.select([end], [], [], 0.05)[0]:
            said += (received := end.recv(READ_BYTES))
            stream.feed(received)
            whole = len(said) if stream.is_between_messages else whole
    end.close()
    return bytes(said[:whole])


def record_all(folder: Path) -> dict[str, bytes]:
    screen = start_screen(folder, size=f"{WIDTH}x{HEIGHT}")
    try:
        program = screen.program()
        return {name: record(screen, program, encodings) for name, encodings in ENCODINGS.items()}
    finally:
        screen.stop()


def framed(recorded: bytes) -> float:
    """Megabytes a second."""
    parts = [recorded[at : at + READ_BYTES] for at in range(0, len(recorded), READ_BYTES)]
    stream = FromServer(Frame(WIDTH, HEIGHT))
    started = time.perf_counter()
    shown = sum(len(item) for part in parts for item in stream.feed(part) if isinstance(item, bytes))
    seconds = time.perf_counter() - started
    assert shown == len(recorded)
    return len(recorded) / seconds / 1e6


def rectangles(recorded: bytes) -> int:
    """How many it has, counted one by one: none fits into four bytes."""
    stream, count, left = FromServer(Frame(WIDTH, HEIGHT)), 0, 0
    for at in range(0, len(recorded), 4):
        stream.feed(recorded[at : at + 4])
        count += stream.rectangles_left < left
        left = stream.rectangles_left
    return count


def serve(listener: socket.socket, recorded: bytes) -> None:
    """RFB on a Unix socket. A request at x = 1 is answered with as many copies of the recording as y says, any other with one small update."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        end, _ = listener.accept()
        child(lambda end=end: _serve_one(end, recorded))
        end.close()


def _serve_one(end: socket.socket, recorded: bytes) -> None:
    for said, answered in ((b"RFB 003.008\n", 12), (b"\x01\x01", 1), (bytes(4), 1)):
        end.sendall(said)
        end.recv(answered, socket.MSG_WAITALL)
    end.sendall(SERVER_INIT)
    while kind := end.recv(1):
        rest = end.recv(19 if kind[0] == wire.SET_PIXEL_FORMAT else 9, socket.MSG_WAITALL)
        if kind[0] == wire.FRAMEBUFFER_UPDATE_REQUEST:
            _, x, y, _, _ = struct.unpack(">B4H", rest)
            for _ in range(y if x else 1):
                end.sendall(recorded if x else SMALL)


@contextmanager
def sekisho(folder: Path, server: Path) -> Iterator[Way]:
    """The real gateway, with a control and an agent beside it that are asked at the entry alone."""
    read, write = os.pipe()

    async def gateway() -> None:
        async with rooms_host(folder) as host:
            host.agent.desktops["s-aaaaaaaaaa"] = Desktop(lambda: _connected(server))
            tickets = [host.control.issue() for _ in range(1_000)]
            os.write(write, json.dumps([host.port, tickets]).encode() + b"\n")
            await asyncio.Event().wait()

    with running(child(lambda: uvloop.run(gateway()))) as process:
        with os.fdopen(read) as told:
            port, tickets = json.loads(told.readline())
        yield Way("sekisho", port, "/desktop/ws", b"Campaign data", process, iter(tickets))
    os.close(write)


def _connected(path: Path) -> socket.socket:
    end = socket.socket(socket.AF_UNIX)
    end.connect(str(path))
    return end


@contextmanager
def websockify(folder: Path, server: Path) -> Iterator[Way]:
    certificate, key = make_certificate(folder)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    program = Path(sys.executable).with_name("websockify")
    command = [str(program), f"--cert={certificate}", f"--key={key}", "--ssl-only", f"--unix-target={server}", f"127.0.0.1:{port}"]
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.05)
        yield Way("websockify", port, "/", b"bench", started.pid)
    finally:
        started.terminate()
        started.wait(10)


class Client(WebSocket):
    """A browser's end that does as little as it can: it counts what comes."""

    def __init__(self, way: Way) -> None:
        super().__init__(way.port, way.path)
        if way.tickets:
            self.say(json.dumps({"ticket": next(way.tickets)}).encode(), opcode=TEXT)
        for heard, said in ((b"RFB 003.008\n", b"RFB 003.008\n"), (b"\x01\x01", b"\x01"), (bytes(4), b"\x01")):
            self._hear(heard)
            self.say(said)
        self._hear(way.title)

    def take(self, wanted: int) -> None:
        """Read until so many bytes of frames' content have come."""
        while wanted > 0:
            wanted -= len(self.read())

    def _hear(self, ending: bytes) -> None:
        heard = b""
        while not heard.endswith(ending):
            heard += self.read()


def cpu_seconds(process: int) -> float:
    """Of a process and of those that it started."""
    fields = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parts = path.read_text().rpartition(")")[2].split()
            fields[int(path.parent.name)] = (int(parts[1]), int(parts[11]) + int(parts[12]))
    family = {process}
    while more := {each for each, (parent, _) in fields.items() if parent in family} - family:
        family |= more
    return sum(fields[each][1] for each in family if each in fields) / os.sysconf("SC_CLK_TCK")


def bulk(way: Way, recorded: bytes, total: int) -> dict[str, float]:
    """One browser that takes all it can get."""
    client, copies = Client(way), max(1, total // len(recorded))
    spent, started = cpu_seconds(way.process), time.perf_counter()
    client.say(struct.pack(">BB4H", wire.FRAMEBUFFER_UPDATE_REQUEST, 0, 1, copies, 1, 1))
    client.take(copies * len(recorded))
    seconds, megabytes = time.perf_counter() - started, copies * len(recorded) / 1e6
    found = {"megabytes_per_second": megabytes / seconds, "cpu_milliseconds_per_megabyte": (cpu_seconds(way.process) - spent) * 1e3 / megabytes}
    client.close()
    return found


def turns(way: Way, count: int) -> dict[str, float]:
    """A small request and a small update, one after another."""
    client, times = Client(way), []
    spent = cpu_seconds(way.process)
    for _ in range(count):
        started = time.perf_counter()
        client.say(struct.pack(">BB4H", wire.FRAMEBUFFER_UPDATE_REQUEST, 1, 0, 0, 8, 8))
        client.take(len(SMALL))
        times.append(time.perf_counter() - started)
    found = {"median_turn_microseconds": statistics.median(times) * 1e6, "cpu_microseconds_per_turn": (cpu_seconds(way.process) - spent) * 1e6 / count}
    client.close()
    return found


def relayed(ways: list[Way], recorded: bytes, *, rounds: int, total: int, count: int) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, list[float]]] = {way.name: {} for way in ways}
    for _ in range(rounds):
        for way in ways:
            for name, value in (bulk(way, recorded, total) | turns(way, count)).items():
                found[way.name].setdefault(name, []).append(value)
    return {way: {name: round(statistics.median(values), 3) for name, values in measured.items()} for way, measured in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--turns", type=int, default=2_000)
    chosen = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        recorded = record_all(folder)
        framing = {
            name: {
                "megabytes_per_second": round(statistics.median(framed(content) for _ in range(chosen.rounds)), 1),
                "bytes_per_rectangle": round(len(content) / rectangles(content)),
            }
            for name, content in recorded.items()
        }
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(folder / "rfb"))
        listener.listen(64)
        stack.enter_context(running(child(lambda: serve(listener, recorded["tight"]))))
        ways = [stack.enter_context(sekisho(folder, folder / "rfb")), stack.enter_context(websockify(folder, folder / "rfb"))]
        medians = relayed(ways, recorded["tight"], rounds=chosen.rounds, total=chosen.megabytes * 1_000_000, count=chosen.turns)
    ratios = {name: round(value / medians["websockify"][name], 3) for name, value in medians["sekisho"].items()}
    print(json.dumps({"rounds": chosen.rounds, "framing": framing, "relay": medians, "sekisho_to_websockify": ratios}, indent=2))


if __name__ == "__main__":
    main()
