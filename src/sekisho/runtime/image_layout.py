"""What is inside an image whatever its definition says: the person, the places that the runtime mounts over, and what is taken away.

A tar of a fresh Debian goes in, a tar of the image comes out: no set-user-id bit, no file capability, no device, no package lists, caches or
documentation, nothing of the machine that built it.
"""

import hashlib
import io
import tarfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

PERSON, PERSON_ID, PERSON_HOME = "operator", 1000, "/home/operator"
SOURCE_DATE = 1_735_689_600  # of everything that has no older date: the same packages give the same bytes (reproducible-builds.org, SOURCE_DATE_EPOCH)

_STATUS = "/var/lib/dpkg/status"
_PERMISSIONS = 0o1777  # never set-user-id or set-group-id
_EMPTIED = ("/dev", "/proc", "/sys", "/tmp", "/run", "/var/cache", "/var/log", "/var/tmp", "/boot", "/root", "/home", "/etc/apt/sources.list.d")  # noqa: S108  paths in the image
_LEFT_OUT = (
    "/usr/share/doc", "/usr/share/info", "/usr/share/lintian", "/usr/share/man", "/var/lib/apt/lists",
    "/etc/apt/sources.list", "/etc/.pwd.lock", "/etc/group-", "/etc/gshadow-", "/etc/passwd-", "/etc/shadow-", "/etc/subgid-", "/etc/subuid-",
)  # fmt: skip
_TRANSLATIONS = "/usr/share/locale/"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the image with its content, or a folder (`content` is None). Owned by root unless it is the person's."""

    content: bytes | None
    mode: int
    owner: int = 0


def fixed_entries(name: str) -> dict[str, Entry]:
    """What every image holds, by absolute path: folders and files that the runtime mounts over must exist, for the image is read-only."""
    machine_id = hashlib.sha256(f"sekisho image {name}".encode()).hexdigest()[:32]
    return {
        "/data": Entry(None, 0o755, PERSON_ID),
        "/dev/shm": Entry(None, 0o1777),  # noqa: S108  a path in the image
        "/etc/hostname": Entry(b"room\n", 0o644),
        "/etc/hosts": Entry(b"127.0.0.1 localhost room\n", 0o644),
        "/etc/machine-id": Entry(f"{machine_id}\n".encode(), 0o444),
        "/etc/resolv.conf": Entry(b"nameserver 127.0.0.1\n", 0o644),
        PERSON_HOME: Entry(None, 0o700, PERSON_ID),
    }


@dataclass(frozen=True, slots=True)
class Layout:
    entries: Mapping[str, Entry]
    leave_out: Collection[str]  # absolute paths; what is under them too
    languages: Collection[str]  # ISO 639 codes whose translations stay

    def keeps(self, path: str) -> bool:
        """Whether a path of the fresh Debian is taken over as it is."""
        if path in self.entries or _is_under(path, (*_LEFT_OUT, *self.leave_out)):
            return False
        if _is_under(path, _EMPTIED):
            return path in _EMPTIED
        if path.startswith(_TRANSLATIONS):
            first = path.removeprefix(_TRANSLATIONS).partition("/")[0]
            return first == "locale.alias" or first.partition("_")[0] in self.languages
        return True


def arrange(source: tarfile.TarFile, target: tarfile.TarFile, layout: Layout) -> tuple[str, ...]:
    """Copy one tar stream into another under a layout. Gives the packages as `name=version`, sorted."""
    packages: tuple[str, ...] = ()
    for member in source:
        path = "/" + member.name.removeprefix(".").strip("/")
        if path == "/" or not layout.keeps(path) or member.ischr() or member.isblk() or member.isfifo():
            continue
        stream = source.extractfile(member) if member.isreg() else None
        if path == _STATUS and stream is not None:
            content = stream.read()
            packages, stream = installed_packages(content.decode()), io.BytesIO(content)
        target.addfile(_plain(member), stream)
    for path, entry in sorted(layout.entries.items()):
        target.addfile(tar_member(path, entry), io.BytesIO(entry.content or b""))
    return packages


def installed_packages(status: str) -> tuple[str, ...]:
    """`name=version` of what dpkg's status file (deb822) calls installed."""
    return tuple(sorted(_installed(status)))


def _installed(status: str) -> Iterator[str]:
    for stanza in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and not line.startswith(" "))
        if fields.get("Status", "").endswith(" installed"):
            yield f"{fields['Package']}={fields['Version']}"


def _is_under(path: str, folders: Collection[str]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Numeric owners, whole seconds, no extended attribute, and none of the bits that raise rights."""
    member.mode &= _PERMISSIONS
    member.mtime = int(member.mtime)
    member.uname = member.gname = ""
    member.pax_headers = {}
    return member


def tar_member(path: str, entry: Entry) -> tarfile.TarInfo:
    """What an entry is called in a tar."""
    member = tarfile.TarInfo("." + path)
    member.type = tarfile.DIRTYPE if entry.content is None else tarfile.REGTYPE
    member.size = len(entry.content or b"")
    member.mode = entry.mode & _PERMISSIONS
    member.uid = member.gid = entry.owner
    member.mtime = SOURCE_DATE
    return member
