"""The rooms in force: a directory of room files, looked at again and again. A file that is wrong is refused and named; the last good one stays in force.

Nothing is in force merely because it was once: a file that is taken away takes its room with it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from sqlalchemy import Connection, insert, select, update

from sekisho.model.event import EventKind
from sekisho.model.room import Room
from sekisho.policy.texts import is_name, shown
from sekisho.sessions.roomfile import LIMIT_BYTES, RoomFileRefused, digest_of, parse_room
from sekisho.store.database import Store
from sekisho.store.events import note
from sekisho.store.tables import room_files

_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Change:
    """What is new since the last look: a file now in force (`now`), a refused one (`fault`), or neither: the file is gone."""

    name: str
    now: Room | None = None
    fault: RoomFileRefused | None = None


class RoomBook:
    """Not shared between threads while it refreshes: `current` and `faults` are replaced whole, so readers see the old or the new.

    `last_good` is name -> text of what was in force before a restart (`last_good_files`): it is used where the file of that name is wrong now.
    """

    def __init__(self, directory: Path, *, sources: Collection[str], buckets: Collection[str] = (), last_good: Mapping[str, str] | None = None) -> None:
        self._directory = directory
        self._sources = frozenset(sources)
        self._buckets = frozenset(buckets)
        self._last_good = dict(last_good or {})
        self._stamps: dict[str, _Stamp] = {}
        self._rooms: dict[str, Room] = {}
        self._faults: dict[str, RoomFileRefused] = {}
        self.current: Mapping[str, Room] = MappingProxyType({})
        self.faults: Mapping[str, RoomFileRefused] = MappingProxyType({})

    def refresh(self) -> list[Change]:
        """Look at the directory and read what changed. A directory that cannot be listed is a fault of its own, named "", and changes nothing else."""
        listed = self._list()
        changes = listed if isinstance(listed, list) else self._look_at(listed)
        self.current = MappingProxyType(dict(sorted(self._rooms.items())))
        self.faults = MappingProxyType(dict(self._faults))
        return changes

    def _list(self) -> dict[str, Path] | list[Change]:
        try:
            paths = sorted(self._directory.iterdir())
        except OSError as error:
            fault = RoomFileRefused("the rooms' directory cannot be read", file=str(self._directory), line=0, found=error.strerror or "an error")
            is_known = str(self._faults.get("")) == str(fault)
            self._faults[""] = fault
            return [] if is_known else [Change("", fault=fault)]
        self._faults.pop("", None)
        return {path.stem: path for path in paths if path.suffix == ".toml" and not path.name.startswith(".")}

    def _look_at(self, paths: Mapping[str, Path]) -> list[Change]:
        changes = self._forget(self._stamps.keys() - paths.keys())
        return changes + [change for path in paths.values() if (change := self._look(path))]

    def _forget(self, names: Iterable[str]) -> list[Change]:
        gone = sorted(names)
        for name in gone:
            del self._stamps[name]
            self._rooms.pop(name, None)
            self._faults.pop(name, None)
        return [Change(name) for name in gone]

    def _look(self, path: Path) -> Change | None:
        """Read the file if it is another than at the last look."""
        try:
            stamp = _stamp(path)
            if self._stamps.get(path.stem) == stamp:
                return None
            self._stamps[path.stem] = stamp
            return self._take(path.stem, _read(path), path)
        except OSError as error:
            self._stamps[path.stem] = (0, 0, 0)
            return self._refuse(path.stem, RoomFileRefused("the file cannot be read", file=str(path), line=0, found=error.strerror or "an error"))
        except RoomFileRefused as fault:
            return self._refuse(path.stem, fault)

    def _take(self, name: str, text: str, path: Path) -> Change | None:
        before = self._rooms.get(name)
        if not is_name(name):
            expected = "a room's name of 1 to 32 of a-z, 0-9, dot, hyphen and underscore, a letter first"
            raise RoomFileRefused("the file's name is wrong", file=str(path), line=0, found=shown(path.name), expected=expected)
        room = parse_room(text, name=name, file=str(path), sources=self._sources, buckets=self._buckets)
        had_fault = self._faults.pop(name, None) is not None
        self._rooms[name] = room
        return Change(name, now=room) if had_fault or before is None or before.digest != room.digest else None

    def _refuse(self, name: str, fault: RoomFileRefused) -> Change | None:
        is_known = str(self._faults.get(name)) == str(fault)
        self._faults[name] = fault
        if name not in self._rooms and name in self._last_good:
            self._restore(name, self._last_good[name])
        return None if is_known else Change(name, fault=fault)

    def _restore(self, name: str, text: str) -> None:
        try:
            self._rooms[name] = parse_room(text, name=name, sources=self._sources, buckets=self._buckets)
        except RoomFileRefused:
            del self._last_good[name]  # it was good for another version of the settings


def _stamp(path: Path) -> _Stamp:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(path: Path) -> str:
    if not path.is_file():
        raise RoomFileRefused("this is not a file", file=str(path), line=0, expected="a file")
    with path.open("rb") as file:
        content = file.read(LIMIT_BYTES + 1)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise RoomFileRefused("this is not UTF-8", file=str(path), line=line, expected="text in UTF-8") from error


def store_room_file(tx: Connection, room: Room, *, now: datetime) -> None:
    """Keep the text of a room that something is bound to by its digest."""
    assert digest_of(room.text) == room.digest, "a room without its text"
    values = {"name": room.name, "seen_at": now}  # a file that was renamed is the same file
    if not tx.execute(update(room_files).where(room_files.c.digest == room.digest).values(**values)).rowcount:
        tx.execute(insert(room_files).values(digest=room.digest, text=room.text, **values))


def room_by_digest(tx: Connection, digest: str) -> Room:
    """The room as the file of this digest gave it. Raises RoomFileRefused if the file was never kept, or cannot be read by this version."""
    row = tx.execute(select(room_files).where(room_files.c.digest == digest)).first()
    if row is None:
        raise RoomFileRefused("the room file that this was granted under is not kept", file=f"{digest[:12]}.toml", line=0)
    return _room_of(row.text, row.name)


@lru_cache(maxsize=256)
def _room_of(text: str, name: str) -> Room:
    """Lists show the rooms of many requests again and again, and a kept file never changes."""
    return parse_room(text, name=name)


def last_good_files(tx: Connection) -> dict[str, str]:
    """name -> text of the file of each room that was in force last."""
    rows = tx.execute(select(room_files.c.name, room_files.c.text).order_by(room_files.c.seen_at))
    return {row.name: row.text for row in rows}


def record_changes(store: Store, changes: Iterable[Change], *, now: datetime) -> None:
    """Write down what came into force and what was refused: an event each. Control does this; after a restart what is in force already is not said again."""
    for change in changes:
        with store.writing() as tx:
            _record(tx, change, now)


def _record(tx: Connection, change: Change, now: datetime) -> None:
    name = change.name if is_name(change.name) else ""
    if change.fault is not None:
        note(tx, EventKind.ROOM_FILE_REFUSED, by=None, now=now, room=name, details=_fault_details(change.fault))
    elif change.now is None:
        note(tx, EventKind.ROOM_FILE_IN_FORCE, by=None, now=now, room=name, details={"gone": True})
    else:
        if _last_digest(tx, name) != change.now.digest:
            note(tx, EventKind.ROOM_FILE_IN_FORCE, by=None, now=now, room=name, details={"digest": change.now.digest})
        store_room_file(tx, change.now, now=now)


def _fault_details(fault: RoomFileRefused) -> dict[str, object]:
    return {"file": Path(fault.file).name, "line": str(fault.line), "what": shown(fault.what), "found": shown(fault.found), "expected": shown(fault.expected)}


def _last_digest(tx: Connection, name: str) -> str | None:
    return tx.execute(select(room_files.c.digest).where(room_files.c.name == name).order_by(room_files.c.seen_at.desc()).limit(1)).scalar()
