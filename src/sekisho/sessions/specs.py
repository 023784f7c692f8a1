"""From a room to what the runtime is told to make: folders resolved, ports gathered, limits passed on. What cannot be made is said before anything is."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sekisho.model.errors import Trouble
from sekisho.model.room import FileSource, Limits, Room
from sekisho.model.session import Request, session_id
from sekisho.runtime.protocol import BucketWanted, FolderWanted, SessionSpec, SpecLimits

_OWN_PORTS = frozenset({53, 3128})  # the room's name server and proxy


_LOCALES: Mapping[str, str] = {"en": "en_US.UTF-8", "ja": "ja_JP.UTF-8"}
_NO_LOCALE = "C.UTF-8"


class CannotOpen(Trouble):
    """A room that cannot be made as it is written: an administrator must mend it."""


@dataclass(frozen=True, slots=True)
class Making:
    """What the settings give. `images` maps an image's name to its digest, or None if it was never built; `buckets` are names; `trust` is PEM."""

    images: Callable[[str], str | None]
    sources: Mapping[str, Path]
    trust: str
    buckets: Collection[str] = ()


def session_spec(room: Room, grant: Request, making: Making, *, language: str) -> SessionSpec:
    """The room speaks `language`, if there is such a locale in our images. Raises CannotOpen."""
    image = making.images(room.image)
    if image is None:
        raise CannotOpen("no-image", f"the image {room.image!r} is not built", hint=f"sekisho image build {room.image}")
    return SessionSpec(
        session=session_id(grant.id),
        request=grant.id,
        room=room.name,
        person=grant.person,
        image=image,
        ends_at=grant.ends_at.timestamp(),
        limits=_limits(room.limits),
        folders=tuple(FolderWanted(str(resolve_folder(each, making.sources)), each.to) for each in room.files if not each.is_bucket),
        buckets=tuple(_bucket(each, making.buckets) for each in room.files if each.is_bucket),
        ports=tuple(sorted({rule.port for rule in room.egress} - _OWN_PORTS)),
        noexec=room.noexec,
        trust=making.trust,
        language=_LOCALES.get(language, _NO_LOCALE),
        kinds=tuple(kind.value for kind in room.kinds),
    )


def resolve_folder(wanted: FileSource, sources: Mapping[str, Path]) -> Path:
    """The folder that `file:NAME/sub` means. It must lie below the source, links followed. Raises CannotOpen."""
    source = sources.get(wanted.name)
    if wanted.is_bucket or source is None:
        raise CannotOpen("no-source", f"there is no source {wanted.url!r}", expected=f"file: and one of {', '.join(sorted(sources)) or 'none'}")
    parts = PurePosixPath(wanted.below).parts
    if ".." in parts or wanted.below.startswith("/") or "\0" in wanted.below:
        raise CannotOpen("source-escapes", f"{wanted.url!r} leads out of its source")
    root = source.resolve()
    folder = root.joinpath(*parts).resolve()
    if not folder.is_relative_to(root):
        raise CannotOpen("source-escapes", f"{wanted.url!r} leads out of its source by a link")
    return folder


def _bucket(wanted: FileSource, buckets: Collection[str]) -> BucketWanted:
    """A prefix is a folder, whether or not it is written with a slash: `2026` never means `2026-secret/` too. Raises CannotOpen."""
    if wanted.name not in buckets:
        raise CannotOpen("no-source", f"there is no bucket {wanted.url!r}", expected=f"s3:// and one of {', '.join(sorted(buckets)) or 'none'}")
    return BucketWanted(wanted.name, f"{wanted.below}/" if wanted.below else "", wanted.to)


def _limits(limits: Limits) -> SpecLimits:
    return SpecLimits(
        memory_bytes=limits.memory_bytes,
        data_bytes=limits.data_bytes,
        home_bytes=limits.home_bytes,
        tmp_bytes=limits.tmp_bytes,
        cpu=limits.cpu,
        processes=limits.processes,
    )
