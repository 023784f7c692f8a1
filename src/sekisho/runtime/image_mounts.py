"""Images, mounted once for all sessions: one squashfs file, named by its SHA-256, checked when it is mounted."""

import hashlib
import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path

from sekisho.model.errors import Trouble
from sekisho.system import kernel

_DIGEST = re.compile(r"[0-9a-f]{64}")


class ImageMounts:
    def __init__(self, *, files: Path, mounts: Path) -> None:
        self._files = files
        self._mounts = mounts

    def path(self, digest: str) -> Path:
        """Where the image is mounted, now mounted if it was not. Raises Trouble: missing, or not what its name says."""
        if not _DIGEST.fullmatch(digest):
            raise Trouble("no-image", "an image is named by its SHA-256", found=repr(digest[:80]))
        target = self._mounts / digest[:16]
        if not os.path.ismount(target):
            self._mount(digest, target)
        return target

    def release(self) -> None:
        """Unmount what no session uses; what is in use stays."""
        if self._mounts.is_dir():
            for target in self._mounts.iterdir():
                with suppress(OSError):
                    kernel.unmount(target)
                    target.rmdir()

    def _mount(self, digest: str, target: Path) -> None:
        file = self._files / f"{digest}.squashfs"
        try:
            with file.open("rb") as content:
                found = hashlib.file_digest(content, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise Trouble("no-image", f"the image {digest[:16]} is not here", hint="sekisho image build") from error
        if found != digest:
            raise Trouble("no-image", "the image file is not what its name says", expected=digest, found=found, hint="build the image again")
        target.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", "-t", "squashfs", "-o", "loop,ro,nosuid,nodev", str(file), str(target)], capture_output=True, check=False)
        if done.returncode:
            raise Trouble("no-image", "the image can't be mounted", found=done.stderr.decode(errors="replace").strip()[:200], hint="sekisho check")
