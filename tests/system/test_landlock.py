"""What a process keeps that was held to a folder and a port."""

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from sekisho.system import kernel, landlock

pytestmark = pytest.mark.root  # a kernel of the machine's own, as the stager has it


def in_child(act: Callable[[], object]) -> str:
    """What an act came to in a process of its own: empty, or the error's name."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            kernel.gain_no_privileges()
            act()
        except OSError as error:
            os.write(write, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as said:
        found = said.read().decode()
    os.waitpid(child, 0)
    return found


def test_a_process_keeps_its_folder_its_port_and_nothing_else(tmp_path: Path):
    (tmp_path / "own").mkdir()
    (tmp_path / "other").write_text("secret")
    with ExitStack() as stack:
        listed, other, abstract = (
            stack.enter_context(each) for each in (socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0)), _abstract())
        )

        def held(act: Callable[[], object]) -> str:
            def whole() -> None:
                folder = os.open(tmp_path / "own", os.O_RDONLY | os.O_DIRECTORY)
                assert landlock.restrict({folder: landlock.WRITE}, connect_ports={listed.getsockname()[1]})
                act()

            return in_child(whole)

        assert held(lambda: (tmp_path / "own" / "new").write_text("x")) == ""
        assert held((tmp_path / "other").read_text) == "PermissionError"
        assert held(lambda: socket.socket().connect(listed.getsockname())) == ""
        assert held(lambda: socket.socket().connect(other.getsockname())) == "PermissionError"
        assert held(lambda: socket.socket(socket.AF_UNIX).connect(abstract.getsockname())) == "PermissionError"
        assert held(lambda: os.kill(os.getppid(), 0)) == "PermissionError"


def _abstract() -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0sekisho-test-{os.getpid()}")
    listener.listen(1)
    return listener
