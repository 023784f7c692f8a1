"""The tables, as SQLAlchemy Core knows them. Migrations make them; a test holds the two together.

Times are aware and UTC on the way in and out. Secrets are kept as fingerprints only (`system.randomness.fingerprint`), passwords as Argon2id strings, and
the secrets of second factors, which must be read again, encrypted with a key that is not in the database.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    false,
)
from typing_extensions import override

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    },
)

Serial = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts up by itself in SQLite


class Utc(TypeDecorator[datetime]):
    """An aware datetime, kept and given back in UTC with microseconds; SQLite has no zones, so there it is kept without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        assert value.tzinfo is not None, "a time without a zone"
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    @override
    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


people = Table(
    "people",
    metadata,
    Column("name", Text, primary_key=True),
    Column("display", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("password_hash", Text),
    Column("disabled_at", Utc),
    Column("created_at", Utc, nullable=False),
)

memberships = Table(
    "memberships",
    metadata,
    Column("person", ForeignKey("people.name"), primary_key=True),
    Column("group_name", Text, primary_key=True),
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("person", ForeignKey("people.name"), nullable=False, index=True),
    Column("expires_at", Utc, nullable=False),
    Column("used_at", Utc),
)

sign_ins = Table(
    "sign_ins",
    metadata,
    Column("id", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False, unique=True),
    Column("person", ForeignKey("people.name"), nullable=False, index=True),
    Column("kind", Text, nullable=False),  # "cookie" or "token"
    Column("address", Text, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("seen_at", Utc, nullable=False),
    Column("expires_at", Utc, nullable=False),
    Column("ended_at", Utc),
    Column("second_factor_at", Utc),  # when a code was given with it last
)

second_factors = Table(
    "second_factors",  # one for each person; it counts once it is confirmed
    metadata,
    Column("person", ForeignKey("people.name"), primary_key=True),
    Column("secret", LargeBinary, nullable=False),  # encrypted: identity.cipher
    Column("begun_at", Utc, nullable=False),
    Column("confirmed_at", Utc),
    Column("last_step", BigInteger, nullable=False),  # the time step of the code that was used last
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("person", ForeignKey("people.name"), nullable=False, index=True),
    Column("used_at", Utc),
)

sign_in_steps = Table(
    "sign_in_steps",  # sign-ins whose password or link was right and whose code is still to come
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("person", ForeignKey("people.name"), nullable=False, index=True),
    Column("how", Text, nullable=False),  # "password" or "link"
    Column("expires_at", Utc, nullable=False),
)

attempts = Table(
    "attempts",  # failed sign-ins, of names that need not exist
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("person", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("at", Utc, nullable=False),
    Column("is_code", Boolean, nullable=False, default=False, server_default=false()),  # not of a password
    Index(None, "address", "at"),
    sqlite_autoincrement=True,
)

room_files = Table(
    "room_files",  # every room file that something was ever asked under, by digest: a grant is bound to it
    metadata,
    Column("digest", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("seen_at", Utc, nullable=False),
)

requests = Table(
    "requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("room", Text, nullable=False),
    Column("room_digest", Text, nullable=False),
    Column("person", ForeignKey("people.name"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("ticket", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("asked_at", Utc, nullable=False),
    Column("starts_at", Utc, nullable=False),
    Column("ends_at", Utc, nullable=False),
    Column("state", Text, nullable=False),  # model.session.RequestState
    Column("decided_by", Text, nullable=False, default="", server_default=""),
    Column("note", Text, nullable=False, default="", server_default=""),
    Column("end_reason", Text),  # model.session.EndReason
    Column("ended_by", Text, nullable=False, default="", server_default=""),
    Index(None, "person", "room"),
    Index(None, "state", "ends_at"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("request", ForeignKey("requests.id"), primary_key=True),
    Column("person", ForeignKey("people.name"), primary_key=True),
    Column("at", Utc, nullable=False),
    Column("note", Text, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("request", ForeignKey("requests.id"), nullable=False, unique=True),
    Column("room", Text, nullable=False),
    Column("person", ForeignKey("people.name"), nullable=False, index=True),
    Column("state", Text, nullable=False, index=True),  # model.session.SessionState
    Column("starts_at", Utc, nullable=False),
    Column("ends_at", Utc, nullable=False),
    Column("staged_bytes", BigInteger, nullable=False, default=0, server_default="0"),
    Column("staged_total_bytes", BigInteger, nullable=False, default=0, server_default="0"),
    Column("staged_files", BigInteger, nullable=False, default=0, server_default="0"),
    Column("why", Text, nullable=False, default="", server_default=""),
    Column("end_reason", Text),
    Column("opened_at", Utc),
    Column("over_at", Utc),
    Column("certificate", JSON(none_as_null=True)),
)

tickets = Table(
    "tickets",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("session", ForeignKey("sessions.id"), nullable=False, index=True),
    Column("person", ForeignKey("people.name"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("sign_in", ForeignKey("sign_ins.id"), nullable=False),
    Column("expires_at", Utc, nullable=False),
    Column("used_at", Utc),
)

connections = Table(
    "connections",
    metadata,
    Column("id", Text, primary_key=True),
    Column("session", ForeignKey("sessions.id"), nullable=False, index=True),
    Column("person", ForeignKey("people.name"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("sign_in", ForeignKey("sign_ins.id"), nullable=False, index=True),
    Column("opened_at", Utc, nullable=False),
    Column("closed_at", Utc),
    Column("why", Text, nullable=False, default="", server_default=""),
    Column("bytes_in", BigInteger, nullable=False, default=0, server_default="0"),
    Column("bytes_out", BigInteger, nullable=False, default=0, server_default="0"),
)

outbox = Table(
    "outbox",  # events on their way to the audit process; see store.outbox
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("at", Utc, nullable=False, index=True),
    Column("event", JSON, nullable=False),
    Column("number", BigInteger, unique=True),  # given when it is first handed out
    Column("entry", LargeBinary),
    Column("accepted", Boolean, nullable=False, default=False, server_default=false()),
    Index(None, "accepted", "number"),
    sqlite_autoincrement=True,  # a pruned row's id is never given again
)
