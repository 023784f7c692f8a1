"""A real Xvnc, started as the agent starts it: RFB on a Unix socket alone, nothing to be taken out of it, nothing to be changed from inside."""

import os
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.gateway.x_program import XProgram

_PATIENCE_SECONDS = 10.0


@dataclass
class Screen:
    process: subprocess.Popen
    display: int
    path: Path
    programs: list[XProgram] = field(default_factory=list)
    ends: list[socket.socket] = field(default_factory=list)

    def connect(self) -> socket.socket:
        end = socket.socket(socket.AF_UNIX)
        self.ends.append(end)
        end.connect(str(self.path))
        return end

    def program(self) -> XProgram:
        self.programs.append(XProgram(self.display))
        return self.programs[-1]

    def stop(self) -> None:
        for end in (*self.programs, *self.ends):
            end.close()
        self.process.terminate()
        try:
            self.process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_screen(folder: Path, *, size: str = "1024x768", more: tuple[str, ...] = ("-SendCutText=0", "-AllowOverride=")) -> Screen:
    path = folder / f"rfb-{os.urandom(4).hex()}"
    read, write = os.pipe()
    command = ["Xvnc", "-displayfd", str(write), "-geometry", size, "-depth", "24", "-rfbunixpath", str(path), "-rfbunixmode", "0600", "-rfbport", "-1"]
    command += ["-nolisten", "tcp", "-SecurityTypes", "None", "-noreset", *more]
    process = subprocess.Popen(command, pass_fds=(write,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as told:  # it is told when the screen is there
        display = told.readline().strip()
    assert display, "Xvnc started"
    return Screen(process, int(display), path)
