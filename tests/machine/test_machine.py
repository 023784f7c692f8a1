"""`sekisho check` on the machine: what is wrong is said in one line, with its mend."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from sekisho.runtime.machine import (
    CAPABILITIES,
    CONTROLLERS,
    Finding,
    Machine,
    Port,
    Space,
    Swap,
    examine,
    judge,
    parse_capabilities,
    parse_cgroups,
    parse_swaps,
    read_machine,
)

TRIALS = dict.fromkeys(
    ["mount-namespace", "network-namespace", "user-namespace", "other-namespaces", "squashfs", "shifted-ids", "memory-folder", "memory-never-swapped"], ""
)
GOOD = Machine(
    uid=0,
    capabilities=sum(1 << number for number in CAPABILITIES.values()),
    architecture="x86_64",
    trials=TRIALS,
    has_seccomp=True,
    landlock=7,
    cgroup_version=1,
    controllers=frozenset(CONTROLLERS),
    swap_can_be_barred=False,
    swaps=(),
    runtime="runc",
    programs={"runc": "runc 1.1", "mksquashfs": "4.5", "mmdebstrap": "1.3"},
    spaces=(Space("/var/lib/sekisho", 5 << 30),),
    ports=(Port("127.0.0.1", 8443, ""),),
)
BARE = Swap("/dev/sda2", is_encrypted=False)


def faults(machine: Machine) -> list[Finding]:
    return [finding for finding in judge(machine) if not finding.ok]


def test_a_right_machine_has_no_fault():
    assert faults(GOOD) == []


@pytest.mark.parametrize(
    ("change", "name", "what", "mend"),
    [
        ({"uid": 1000}, "root", "uid 1000", "sudo"),
        ({"capabilities": GOOD.capabilities & ~(1 << 21)}, "capabilities", "CAP_SYS_ADMIN", "container"),
        ({"trials": TRIALS | {"user-namespace": "No space left on device"}}, "user-namespace", "No space", "max_user_namespaces"),
        ({"trials": TRIALS | {"squashfs": "unknown filesystem type"}}, "squashfs", "unknown filesystem", "modprobe"),
        ({"trials": TRIALS | {"shifted-ids": "Invalid argument"}}, "shifted-ids", "Invalid argument", "5.12"),
        ({"trials": {**TRIALS, "network-namespace": "Operation not permitted"}}, "network-namespace", "not permitted", "kernel"),
        ({"has_seccomp": False}, "seccomp", "filters no system calls", "CONFIG_SECCOMP_FILTER"),
        ({"architecture": "riscv64"}, "seccomp", "riscv64", "x86_64"),
        ({"controllers": frozenset({"pids", "cpu", "freezer"})}, "cgroups", "without memory", "cgroup_enable=memory"),
        ({"cgroup_version": 0, "controllers": frozenset()}, "cgroups", "version 0", "mount"),
        ({"cgroup_version": 2, "controllers": frozenset({"cpu", "memory"})}, "cgroups", "without pids", "mount"),
        ({"swaps": (BARE,)}, "swap", "/dev/sda2 is not encrypted", "swapoff"),
        ({"swaps": (BARE, Swap("/dev/dm-1", is_encrypted=True))}, "swap", "/dev/sda2", "encrypt"),
        ({"programs": {**GOOD.programs, "runc": ""}}, "program-runc", "runc is not installed", "apt-get install runc"),
        ({"programs": {**GOOD.programs, "mksquashfs": ""}}, "program-mksquashfs", "not installed", "apt-get install squashfs-tools"),
        ({"runtime": "/opt/crun", "programs": {"/opt/crun": ""}}, "program-crun", "/opt/crun is not installed", "install"),
        ({"spaces": (Space("/var", 5 << 20),)}, "space", "0.0 GB free at /var", "free 1 GB"),
        ({"ports": (Port("::1", 8443, "Address already in use"),)}, "port", "::1 port 8443: Address already in use", "--listen"),
    ],
)
def test_a_fault_is_one_line_with_its_mend(change, name, what, mend):
    (fault,) = faults(replace(GOOD, **change))
    assert fault.name == name
    assert what in fault.what
    assert mend in fault.mend
    assert "\n" not in fault.what + fault.mend


@pytest.mark.parametrize(
    "change",
    [
        {"landlock": 0},  # a further wall, not the wall
        {"cgroup_version": 2, "controllers": frozenset({"cpu", "memory", "pids"})},  # version 2 freezes without a controller
        {"swaps": (Swap("/dev/dm-0", is_encrypted=True),)},
        {"swaps": (BARE,), "swap_can_be_barred": True},
        {"trials": TRIALS | {"memory-never-swapped": "Invalid argument"}},  # an older kernel, without swap
    ],
)
def test_what_a_room_can_do_without_is_no_fault(change):
    assert faults(replace(GOOD, **change)) == []


def test_a_trial_that_did_not_run_is_a_fault():
    assert {fault.name for fault in faults(replace(GOOD, trials={}))} == set(TRIALS) - {"memory-never-swapped"}


def test_what_the_kernel_says_is_read():
    assert parse_capabilities("Name:\tx\nCapEff:\t000001fffeffffff\n") == 0x1FFFEFFFFFF
    assert parse_capabilities("") == 0
    mounts = "tmpfs / tmpfs rw 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\ncgroup /x cgroup rw,cpu,cpuacct 0 0\ncgroup2 /u cgroup2 rw 0 0\n"
    assert parse_cgroups(mounts, None)[0] == 1
    assert {"memory", "cpu", "cpuacct"} <= parse_cgroups(mounts, None)[1]
    assert parse_cgroups("", "cpu memory pids\n") == (2, frozenset({"cpu", "memory", "pids"}))
    assert parse_cgroups("", None) == (0, frozenset())
    assert parse_swaps("Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n/swap file 1 0 -3\n") == ("/dev/sda2", "/swap")


def test_a_port_that_somebody_has_is_found(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        (port,) = read_machine(runtime="runc", folders=(), ports=[("127.0.0.1", number)]).ports
    assert port == Port("127.0.0.1", number, "Address already in use")


@pytest.mark.root
def test_this_machine_is_right_and_trying_leaves_nothing(tmp_path):
    before = Path("/proc/self/mounts").read_text()
    found = examine(runtime="runc", folders=[tmp_path / "not" / "yet"], ports=[])
    assert [finding for finding in found if not finding.ok] == []
    assert Path("/proc/self/mounts").read_text() == before
