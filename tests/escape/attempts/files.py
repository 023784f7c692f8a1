"""Files of the machine and leaks about it: host paths, /proc, /sys, devices, terminals."""

import ctypes
import errno
import fcntl
import os
import stat
import struct
from pathlib import Path

from .attempt import NO_SUCH_DOOR, all_refused, attempt, must, syscall

DEVICES = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)}
# what tells of the machine's memory, hardware, keys, disks, other processes and how it was started
TELLTALES = ("acpi", "bootconfig", "buddyinfo", "bus", "cgroups", "cmdline", "config.gz", "consoles", "crypto", "devices", "diskstats", "dma", "driver",
             "dynamic_debug", "execdomains", "fb", "fs", "interrupts", "iomem", "ioports", "irq", "kallsyms", "kcore", "key-users", "keys", "kmsg",
             "kpagecgroup", "kpagecount", "kpageflags", "latency_stats", "locks", "mdstat", "misc", "modules", "mtrr", "pagetypeinfo", "partitions",
             "pressure", "sched_debug", "schedstat", "scsi", "slabinfo", "softirqs", "swaps", "sysrq-trigger", "timer_list", "timer_stats",
             "vmallocinfo", "zoneinfo")  # fmt: skip


@attempt
def paths_of_the_machine(facts):
    ways = ("", "/proc/1/root", "/proc/self/root", "/proc/self/cwd/../../../..", "/proc/thread-self/root", "/dev/fd/../root", "/data/../../..")
    found = [way + path for path in facts.paths for way in ways if os.path.lexists(way + path)]
    aims = Path("/data/aims")
    aims.mkdir(exist_ok=True)
    for number, path in enumerate(facts.paths):
        link = aims / str(number)
        link.unlink(missing_ok=True)
        link.symlink_to(path)
        found += [f"by link: {path}"] if link.exists() else []
    return must(not found, f"{len(facts.paths)} paths by {len(ways)} ways", f"{found}")


@attempt
def names_of_the_machine_in_what_a_process_may_read(facts):
    """Host mount paths, the installation's id, other sessions: in mounts, cgroups, sockets, arguments, environment."""
    told = ("mountinfo", "mounts", "mountstats", "cgroup", "environ", "cmdline", "maps", "status", "limits")
    files = [Path("/proc", pid, name) for pid in ("self", "1") for name in told]
    files += [path for folder in ("/proc/net", "/proc/sysvipc", "/etc") for path in Path(folder).iterdir() if path.is_file()]
    found = []
    for file in files:
        try:
            content = file.read_bytes()
        except OSError:
            continue
        places = ("/sys/fs/cgroup", "/run/sekisho", "/var/lib", "/var/cache") if file.is_relative_to("/proc") else ()
        found += [f"{file}: {name}" for name in (*facts.names, *places) if name.encode() in content]
    return must(not found, f"{len(files)} files", f"{found}")


def _tells(path):
    """What a file or folder of /proc gives away; empty if nothing."""
    try:
        if path.is_dir():
            return [entry.name for entry in path.iterdir()]
        with path.open("rb") as content:
            return content.read(64)
    except OSError:
        return b""


@attempt
def proc_tells_nothing_of_the_machine():
    found = {name: told for name in TELLTALES if (told := _tells(Path("/proc", name)))}
    return must(not found, f"{len(TELLTALES)} names", f"{found}")


@attempt
def proc_has_nothing_that_nobody_has_looked_at():
    """A later kernel's file is a leak until somebody decides."""
    of_ones_own = {"mounts", "net", "self", "sys", "sysvipc", "thread-self", "tty"}
    statistics = {"cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version", "vmstat"}  # what top, free and vmstat read
    found = {path.name for path in Path("/proc").iterdir() if not path.name.isdigit()} - of_ones_own - statistics - set(TELLTALES)
    return must(not found, "nothing new", f"{sorted(found)}")


@attempt
def sys_is_empty():
    found = list(Path("/sys").iterdir())
    return must(not found, "empty", f"{found}")


@attempt
def nothing_in_proc_can_be_written_but_ones_own():
    """Opened, not written: sysctls, sysrq, irq affinity, mtrr, scsi, core_pattern, and whatever a later kernel adds."""
    found, looked = [], 0
    for folder, names, files in os.walk("/proc"):
        names[:] = [name for name in names if not (folder == "/proc" and (name.isdigit() or name in {"self", "thread-self"})) and name != "self"]
        for name in files:
            looked += 1
            path = Path(folder, name)
            try:
                end = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                continue
            if os.fstat(end).st_rdev != os.makedev(1, 3):
                found.append(str(path))
            os.close(end)
    return must(not found, f"{looked} files", f"{found}")


@attempt
def settings_of_the_kernel():
    def write(name):
        Path("/proc/sys", name).write_text("1")

    names = ("kernel/core_pattern", "kernel/modprobe", "kernel/hotplug", "kernel/sysrq", "kernel/randomize_va_space", "kernel/ns_last_pid",
             "kernel/hostname", "vm/drop_caches", "vm/overcommit_memory", "net/ipv4/ip_forward", "net/ipv4/ip_unprivileged_port_start",
             "net/ipv4/tcp_rmem", "net/core/somaxconn", "fs/binfmt_misc/register", "fs/suid_dumpable", "fs/file-max", "user/max_user_namespaces")  # fmt: skip
    return all_refused({name: (write, name) for name in names}, by={errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT})


@attempt
def sysrq():
    trigger = Path("/proc/sysrq-trigger")
    if not trigger.exists():
        return "this kernel has none"
    with trigger.open("wb") as end:
        return must(os.fstat(end.fileno()).st_rdev == os.makedev(1, 3), "it is the null device", "opened")


@attempt
def addresses_of_the_kernel_and_of_memory():
    """The frames behind pages are not told, nor what the kernel does for a process."""
    with Path("/proc/self/pagemap").open("rb", buffering=0) as pages:
        page = ctypes.create_string_buffer(b"x" * 4096, 8192)
        pages.seek(ctypes.addressof(page) // 4096 * 8)
        frame = struct.unpack("=Q", pages.read(8))[0] & ((1 << 55) - 1)
    must(frame == 0, "", f"page frame {frame:x}")
    return all_refused({name: (Path("/proc/1", name).read_bytes,) for name in ("stack",)}, by={errno.EACCES, errno.EPERM, errno.EIO})


@attempt
def there_is_no_device_but_the_harmless():
    found = []
    for folder, names, files in os.walk("/", followlinks=False):
        names[:] = [] if folder == "/proc" else names
        for name in files:
            status = Path(folder, name).lstat()
            number = (os.major(status.st_rdev), os.minor(status.st_rdev))
            if stat.S_ISBLK(status.st_mode) or (stat.S_ISCHR(status.st_mode) and number not in DEVICES and number[0] != 136):
                found.append(str(Path(folder, name)))
    return must(not found, "none", f"{found}")


@attempt
def devices_of_the_machine():
    names = ("mem", "kmem", "kmsg", "port", "fuse", "kvm", "vsock", "vhost-vsock", "vhost-net", "loop0", "loop1", "loop-control", "vda", "sda", "nvme0", "tty0",
             "tty1", "ttyS0", "net/tun", "mapper/control", "uinput", "userfaultfd", "snapshot", "rtc0", "hwrng")  # fmt: skip
    return all_refused({name: (os.open, f"/dev/{name}", os.O_RDONLY) for name in names}, by={errno.ENOENT})


@attempt
def new_device_nodes():
    places = ("/tmp/node", "/dev/node", "/data/node", "/dev/shm/node", "/run/node")
    kinds = {"memory": (0o020666, 1, 1), "null": (0o020666, 1, 3), "disk": (0o060666, 7, 1), "console": (0o020666, 5, 1), "whiteout": (0o020666, 0, 0)}
    table = {f"{name} at {place}": (os.mknod, place, kind[0], os.makedev(*kind[1:])) for place in places for name, kind in kinds.items()}
    return all_refused(table, by={errno.EPERM, errno.EACCES})


@attempt
def dev_itself_is_not_the_persons():
    table = {
        "new file": (os.open, "/dev/new", os.O_CREAT | os.O_WRONLY, 0o600),
        "rename null": (os.rename, "/dev/null", "/dev/zero"),
        "remove null": (os.unlink, "/dev/null"),
        "close null to others": (os.chmod, "/dev/null", 0o600),
        "own null": (os.chown, "/dev/null", 1000, 1000),
    }
    return all_refused(table, by={errno.EPERM, errno.EACCES, errno.EBUSY, errno.EROFS})


@attempt
def the_terminal_of_whoever_is_outside():
    """TIOCSTI, TIOCLINUX, TIOCSETD, TIOCCONS, TIOCVHANGUP on the room's terminal."""
    end = os.open("/dev/pts/0", os.O_RDWR | os.O_NOCTTY)
    calls = {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C, "TIOCSETD": 0x5423, "TIOCCONS": 0x541D, "TIOCVHANGUP": 0x5437}
    return all_refused({name: (fcntl.ioctl, end, number, b"x") for name, number in calls.items()}, by={errno.EPERM})


@attempt
def terminals_of_others_and_the_console():
    terminals = sorted(path.name for path in Path("/dev/pts").iterdir())
    must(terminals == ["0", "ptmx"], "", f"terminals: {terminals}")
    console, own = Path("/dev/console").stat(), Path("/dev/pts/0").stat()
    return must(console.st_rdev == own.st_rdev, "the console is the own terminal", f"console {os.major(console.st_rdev)}:{os.minor(console.st_rdev)}")


@attempt
def the_image_can_not_be_written():
    table = {
        "a program": (os.open, "/usr/bin/bash", os.O_WRONLY),
        "a new file": (os.open, "/usr/bin/new", os.O_CREAT | os.O_WRONLY),
        "rename": (os.rename, "/usr/bin/id", "/usr/bin/di"),
        "unlink": (os.unlink, "/usr/bin/id"),
        "mode": (os.chmod, "/usr/bin/id", 0o4777),
        "preload": (os.open, "/etc/ld.so.preload", os.O_CREAT | os.O_WRONLY),
        "attribute": (os.setxattr, "/usr/bin/id", "user.x", b"x"),
        "resolv.conf": (os.open, "/etc/resolv.conf", os.O_WRONLY),
        "hosts": (os.unlink, "/etc/hosts"),
        "resolv.conf moved": (os.rename, "/etc/resolv.conf", "/etc/x"),
        "a folder of / moved": (os.rename, "/data", "/tmp/data"),
    }
    return all_refused(table, by={errno.EROFS, errno.EACCES, errno.EBUSY, errno.EXDEV, errno.EPERM})


@attempt
def files_by_handle():
    table = {"name": (syscall, 303, -100 & 0xFFFFFFFFFFFFFFFF, b"/", bytes(8), bytes(8), 0), "open": (syscall, 304, 0, bytes(24), 0)}
    return all_refused(table, by=NO_SUCH_DOOR)


@attempt
def links_out_of_a_folder_that_is_held():
    """Descriptors of folders that were moved or removed meanwhile must not lead above the room's root."""
    base = Path("/data/race")
    (base / "a/b/c").mkdir(parents=True, exist_ok=True)
    held = os.open(base / "a/b/c", os.O_RDONLY)
    (base / "a/b").rename(base / "b")
    top = os.stat("/".join([".."] * 40), dir_fd=held)
    root = Path("/").stat()
    return must((top.st_dev, top.st_ino) == (root.st_dev, root.st_ino), "ends at the room's root", "another root")


@attempt
def the_kernels_log():
    return all_refused({"read": (syscall, 103, 3, bytes(64), 64), "size": (syscall, 103, 10, 0, 0)}, by={errno.EPERM})


@attempt
def mounts_are_held_to_what_they_may_be():
    """No set-user-id anywhere; devices only in /dev; nothing of the machine's disks but the image."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, kind = line.split(" - ")[0].split(), line.split(" - ")[1].split()[0]
        options = fields[5].split(",")
        if kind not in {"overlay", "tmpfs", "proc", "devpts"}:
            found.append(line)
        if "nosuid" not in options and fields[4] != "/proc" and not fields[4].startswith("/proc/"):
            found.append(f"{fields[4]} allows set-user-id")
        if "nodev" not in options and not fields[4].startswith(("/dev", "/proc/")):
            found.append(f"{fields[4]} allows devices")
    return must(not found, "all of them", f"{found}")


@attempt
def no_device_file_is_shared_with_the_machine():
    """/dev/null and its kind are files of the room's own: watching, locking or touching them is felt by nobody outside."""
    found = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines() if line.split(" - ")[1].startswith("devtmpfs")]
    return must(not found, "none", f"{found}")
