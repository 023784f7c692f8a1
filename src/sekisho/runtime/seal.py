"""Making and unmaking what a session stands on: its namespaces, its folders in memory, the sockets inside its network namespace.

Everything here runs in the shim, whose own mount and network namespaces are the session's: when shim and room are dead, the kernel takes
the mounts, the network and all their bytes with them.
"""

import os
import resource
import shutil
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sekisho.runtime.paths import SessionPaths
from sekisho.runtime.protocol import SessionSpec
from sekisho.runtime.uids import PERSON, SIZE, STAGER
from sekisho.system import kernel, netlink

SYNTHETIC_NETWORK = ("198.18.0.0", 15)  # RFC 2544's range, never on the internet; each listed name gets one of its addresses
# One of them, outside of those that names get. Where an interface has no address but 127.0.0.1, glibc finds no IPv4 for a program that asks for IPv4 alone and
# for what is configured (getaddrinfo(3), AI_ADDRCONFIG), as Firefox does: it would find no name at all.
OWN_ADDRESS = "198.18.0.1"
NAME_SERVER = "127.0.0.53"
PROXY = ("127.0.0.1", 3128)
_ETC_BYTES = 4 << 20
_BACKLOG = 256
_FOLDERS = ("etc", "data", "home", "tmp")
_BYTES_PER_INODE = 4096
_DEV_BYTES = 64 << 10
_SOCKET_MEMORY = "4096 16384 262144"  # bytes: least, at first, most; a socket keeps some of it even where the cgroup has no more to give
_SIGPENDING, _MSGQUEUE = 11, 12  # getrlimit(2); Python has no names for them
# Not in the bundle: the runtime may not set limits of a process in a user namespace that root does not own, unless it has CAP_SYS_RESOURCE.
# A core limit of 1 byte, not 0: a machine whose core_pattern is a pipe asks only whether it is 1 (core(5)), and would else keep a crashed program's memory.
_LIMITS = {resource.RLIMIT_CORE: (1, 1), resource.RLIMIT_NOFILE: (1024, 4096), _SIGPENDING: (1024, 1024), _MSGQUEUE: (0, 0)}
_MOUNTS = (*_FOLDERS, "screen", "dev", "root", "image", "user")
# OCI runtime specification, config-linux.md "Default Devices"; numbers: kernel Documentation/admin-guide/devices.txt
_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"}


def enter_namespaces() -> None:
    """From here on mounts and network are the session's own: no interface but `lo`, no address but its own. The room inherits the network, and the limits."""
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWNET)
    kernel.forget_propagation()
    netlink.raise_loopback()
    netlink.make_local(*SYNTHETIC_NETWORK)
    netlink.add_address(OWN_ADDRESS)
    for direction in ("rmem", "wmem"):
        Path(f"/proc/sys/net/ipv4/tcp_{direction}").write_text(_SOCKET_MEMORY, encoding="ascii")
    for limit, bounds in _LIMITS.items():
        resource.setrlimit(limit, bounds)


@dataclass(slots=True)
class RoomSockets:
    """What egress serves the room through. The shim keeps these for the session's whole life, so no process of the room can take a port
    over while egress is away."""

    name_server_udp: socket.socket
    name_server_tcp: socket.socket
    proxy: socket.socket
    ports: dict[int, socket.socket]

    def descriptors(self) -> tuple[int, ...]:
        return tuple(each.fileno() for each in (self.name_server_udp, self.name_server_tcp, self.proxy, *self.ports.values()))

    def close(self) -> None:
        for each in (self.name_server_udp, self.name_server_tcp, self.proxy, *self.ports.values()):
            each.close()


def open_sockets(ports: tuple[int, ...]) -> RoomSockets:
    """Never with SO_REUSEADDR or SO_REUSEPORT: with them a process of the room could bind beside us and steal."""
    name_server_udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    name_server_udp.bind((NAME_SERVER, 53))
    own = {53, PROXY[1]}
    return RoomSockets(
        name_server_udp=name_server_udp,
        name_server_tcp=_listen((NAME_SERVER, 53)),
        proxy=_listen(PROXY),
        ports={port: _listen(("0.0.0.0", port)) for port in sorted(set(ports) - own)},  # noqa: S104  every address of a namespace that has none but its own
    )


def _listen(address: tuple[str, int]) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


def mount_folders(paths: SessionPaths, spec: SessionSpec, uid_base: int, image: Path) -> None:
    """The image, read-only and with ids shifted to the session's range; and the folders in memory, limited and never swapped."""
    paths.bundle.mkdir(parents=True)
    _mount_image(paths, uid_base, image)
    _mount_devices(paths.folder / "dev", uid_base)
    limits = spec.limits
    for name, limit in zip(_FOLDERS, (_ETC_BYTES, limits.data_bytes, limits.home_bytes, limits.tmp_bytes), strict=True):
        (paths.folder / name).mkdir()
        mount_memory(paths.folder / name, limit)
    os.chown(paths.folder / "data", uid_base + STAGER, uid_base + STAGER)
    os.chown(paths.folder / "home", uid_base, uid_base)
    for inner, mode in (("tmp", 0o1777), ("shm", 0o1777), ("run", 0o755)):
        _own_folder(paths.folder / "tmp" / inner, uid_base + PERSON, mode)
    _furnish_home(paths, uid_base + PERSON)
    _write_etc(paths, spec)


def _mount_image(paths: SessionPaths, uid_base: int, image: Path) -> None:
    """Under an overlay of the session's own: files of the image itself are the same inodes in every session, through which one could watch
    (inotify) and lock (flock) what another does."""
    namespace = kernel.user_namespace(uid_base, SIZE)
    shifted, nothing = paths.folder / "image", paths.folder / "nothing"
    for folder in (shifted, nothing, paths.root):
        folder.mkdir()
    os.chown(nothing, uid_base, uid_base)  # the room's / takes its owner from here
    try:
        kernel.bind_with_ids(image, shifted, namespace)
        (paths.folder / "user").touch()
        kernel.mount(f"/proc/self/fd/{namespace}", paths.folder / "user", "", kernel.MS_BIND)
    finally:
        os.close(namespace)
    layers = [os.open(folder, os.O_PATH | os.O_CLOEXEC) for folder in (nothing, shifted)]
    try:  # named by descriptor: the room reads these options in its mountinfo, and paths of the machine are not its business
        options = "lowerdir=" + ":".join(f"/proc/self/fd/{layer}" for layer in layers)
        kernel.mount("sekisho", paths.root, "overlay", kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV, options)
    finally:
        for layer in layers:
            os.close(layer)


def _mount_devices(target: Path, uid_base: int) -> None:
    """The room's /dev, with device files of its own: those that a runtime binds are the machine's, the same inodes for everybody."""
    target.mkdir()
    kernel.mount("sekisho", target, "tmpfs", kernel.MS_NOSUID | kernel.MS_NOEXEC, f"size={_DEV_BYTES},nr_inodes=64,mode=0755,uid={uid_base},gid={uid_base}")
    for name, (major, minor) in _DEVICES.items():
        os.mknod(target / name, stat.S_IFCHR, os.makedev(major, minor))
        (target / name).chmod(0o666)
    for name, aim in _DEVICE_LINKS.items():
        (target / name).symlink_to(aim)
    for name in ("pts", "shm"):
        (target / name).mkdir()
    (target / "console").touch()
    os.chown(target / "console", uid_base, uid_base)


def mount_memory(target: Path, limit_bytes: int) -> None:
    """A tmpfs that is never swapped where the kernel knows `noswap` (6.4); elsewhere the session's cgroup bars swap."""
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    options = f"size={limit_bytes},nr_inodes={max(1024, limit_bytes // _BYTES_PER_INODE)},mode=0755"
    try:
        kernel.mount("sekisho", target, "tmpfs", flags, options + ",noswap")
    except OSError:
        kernel.mount("sekisho", target, "tmpfs", flags, options)


def hand_over_data(paths: SessionPaths, uid_base: int) -> None:
    """The files stay the stager's, read-only; the folder becomes the person's, to work in."""
    os.chown(paths.folder / "data", uid_base + PERSON, uid_base + PERSON)


def _furnish_home(paths: SessionPaths, uid: int) -> None:
    home = paths.folder / "home" / "operator"
    _own_folder(home, uid, 0o700)
    skeleton = paths.root / "etc" / "skel"
    if skeleton.is_dir():
        for source in skeleton.iterdir():
            if source.is_file() and not source.is_symlink():
                shutil.copyfile(source, home / source.name)
                os.chown(home / source.name, uid, uid)


def _own_folder(path: Path, uid: int, mode: int) -> None:
    path.mkdir()
    path.chmod(mode)
    os.chown(path, uid, uid)


def _write_etc(paths: SessionPaths, spec: SessionSpec) -> None:
    etc = paths.folder / "etc"
    (etc / "resolv.conf").write_text(f"nameserver {NAME_SERVER}\noptions timeout:2 attempts:2\n", encoding="ascii")
    (etc / "hosts").write_text(f"127.0.0.1 localhost {spec.room}\n", encoding="ascii")
    (etc / "hostname").write_text(spec.room + "\n", encoding="ascii")
    if spec.trust:
        bundle = paths.root / "etc/ssl/certs/ca-certificates.crt"
        (etc / "trust.pem").write_text(bundle.read_text(encoding="ascii") + spec.trust, encoding="ascii")


@dataclass(frozen=True, slots=True)
class Unmounted:
    mounts: int
    data_bytes: int
    files: int
    clean: bool


def unmount_folders(paths: SessionPaths) -> Unmounted:
    """Let go of everything `mount_folders` made, and count what that destroys. Run when no process of the room is left."""
    mounts = data_bytes = files = 0
    clean = True
    for name in _MOUNTS:
        target = paths.folder / name
        if not os.path.ismount(target):
            continue
        if name in _FOLDERS:
            used = os.statvfs(target)
            data_bytes += (used.f_blocks - used.f_bfree) * used.f_frsize
            files += used.f_files - used.f_ffree
        try:
            kernel.unmount(target)
        except OSError:
            clean = False
            with suppress(OSError):
                kernel.unmount(target, detach=True)
        mounts += 1
    return Unmounted(mounts, data_bytes, files, clean)


def remove_folder(paths: SessionPaths) -> bool:
    """Remove the session's folder on /run: empty mount points, the bundle, sockets. Never crosses into a mount. True if nothing is left."""
    shutil.rmtree(paths.folder, ignore_errors=True)
    return not paths.folder.exists()
