"""The broker's own tables. Identities belong to `broker.http`; the rest to `broker.sessions`."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from federation.database import UtcDateTime

metadata = MetaData()

# A request and its answer. A direct execution has a row here, too, which is never shown.
offersets = Table(
    "offersets",
    metadata,
    Column("uuid", String(36), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("name", Text),
    Column("direct", Boolean, nullable=False),
    Column("yes", Boolean, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("modified", UtcDateTime, nullable=False),
    # the request as it came, and as it was understood (null where it was not)
    Column("document", JSON, nullable=False),
    Column("request", JSON(none_as_null=True)),
    Column("notes", JSON, nullable=False),
    # from when the broker began with it until the answer was kept; null of answers from before this was kept
    Column("answer_seconds", Float),
    Index("offersets_owner_created", "owner", "created"),
    Index("offersets_created", "created"),
)

# Where a part of a session is found by its own uuid (SessionRecord.component_uuid of `key`).
components = Table(
    "components",
    metadata,
    Column("uuid", String(36), primary_key=True),
    Column("session", String(36), ForeignKey("sessions.uuid", ondelete="CASCADE"), nullable=False),
    # "executables", "compute", "storage", "data" or "volumes"
    Column("family", String(16), nullable=False),
    Column("key", Text, nullable=False),
    Index("components_session", "session"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("uuid", String(36), primary_key=True),
    Column("offerset", String(36), ForeignKey("offersets.uuid", ondelete="CASCADE"), nullable=False),
    # rank among the offers of its set, the best first
    Column("position", Integer, nullable=False),
    Column("owner", String(64), nullable=False),
    Column("phase", String(16), nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("modified", UtcDateTime, nullable=False),
    Column("expires", UtcDateTime),
    Column("placement", JSON(none_as_null=True)),
    Column("notes", JSON, nullable=False),
    # what the supervisor has done so far: see broker.sessions.store.Progress
    Column("progress", JSON, nullable=False),
    # whether the platform may still hold something for it
    Column("occupies_platform", Boolean, nullable=False),
    # which supervisor drives it, and until when nobody else may
    Column("worker", String(64)),
    Column("lease_until", UtcDateTime),
    # see broker.model.Connector and Outcome
    Column("connectors", JSON(none_as_null=True)),
    Column("outcome", JSON(none_as_null=True)),
    Column("ended", UtcDateTime),
    Column("results_until", UtcDateTime),
    Index("sessions_owner_created", "owner", "created"),
    Index("sessions_created", "created"),
    Index("sessions_ended", "ended"),
    Index("sessions_offerset", "offerset"),
    Index("sessions_phase", "phase"),
    Index("sessions_worker", "worker"),
    Index("sessions_occupies_platform", "occupies_platform"),
)

# What of a site is promised: an offer's hold (with `expires`) or an accepted session's booking (without).
# Compute is taken during [start, end), storage during [storage_start, end).
holds = Table(
    "holds",
    metadata,
    Column("session", String(36), ForeignKey("sessions.uuid", ondelete="CASCADE"), primary_key=True),
    Column("site", String(64), nullable=False),
    Column("storage_start", UtcDateTime, nullable=False),
    Column("start", UtcDateTime, nullable=False),
    Column("end", UtcDateTime, nullable=False),
    Column("cores", Integer, nullable=False),
    Column("memory_gib", Integer, nullable=False),
    Column("storage_gib", Integer, nullable=False),
    Column("expires", UtcDateTime),
    Index("holds_site_end", "site", "end"),
)

# The reservation at its site's cloud that an accepted session gets, at sites that book.
cloud_leases = Table(
    "cloud_leases",
    metadata,
    Column("session", String(36), ForeignKey("sessions.uuid", ondelete="CASCADE"), primary_key=True),
    # see broker.sessions.cloud_leases.Standing
    Column("state", String(16), nullable=False),
    # when the cloud was last asked for it
    Column("asked", UtcDateTime),
    # what it said last: see reservations.leases.Lease
    Column("lease", JSON(none_as_null=True)),
    # how often the session was moved to another window, since it was refused
    Column("moves", Integer, nullable=False),
    Index("cloud_leases_state", "state"),
)

# One row. `created`: sets that were created until then may have been removed, for they were over for long;
# of those that were created later, all are here. Null: none was removed.
forgotten = Table(
    "forgotten",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("created", UtcDateTime),
)

# Which containers can be made inside of a site's containers, as last tried: see broker.nesting.
nesting = Table(
    "nesting",
    metadata,
    Column("site", String(64), primary_key=True),
    Column("tried", UtcDateTime, nullable=False),
    Column("image", Text, nullable=False),
    # broker.nesting.store.as_document
    Column("plain", JSON, nullable=False),
    # the same of a privileged container, or why there is none
    Column("privileged", JSON, nullable=False),
)

# What rules took that brought data to sites' storages: see broker.sessions.brought. Outlives the sessions.
brought = Table(
    "brought",
    metadata,
    Column("session", String(36), primary_key=True),
    # the data item's uuid
    Column("item", String(64), primary_key=True),
    Column("site", String(64), nullable=False),
    Column("rse", Text, nullable=False),
    Column("ended", UtcDateTime, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    # of moving alone (50 %)
    Column("forecast_seconds", Float, nullable=False),
    Index("brought_ended", "ended"),
)

# How long sites took to have images: see broker.images.pulls.
pulls = Table(
    "pulls",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("site", String(64), nullable=False),
    Column("registry", Text, nullable=False),
    Column("image", Text, nullable=False),
    Column("ended", UtcDateTime, nullable=False),
    # of what wasn't in place
    Column("size_bytes", BigInteger, nullable=False),
    Column("layers", Integer, nullable=False),
    # 0: all was in place
    Column("seconds", Float, nullable=False),
    Index("pulls_site_ended", "site", "ended"),
)

identities = Table(
    "identities",
    metadata,
    Column("uuid", String(36), primary_key=True),
    # who says who this is: the issuer of the user's tokens, or "" for a user of this broker's own. Together
    # with `subject` (the user's name, where it is our own) it is what makes somebody the same person.
    Column("issuer", String(255), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("username", String(255), nullable=False),
    # null for those who come with tokens
    Column("password_hash", Text),
    Column("role", String(16), nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    UniqueConstraint("issuer", "subject", name="identities_issuer_subject"),
)

# Who did what, and how it ended. Never holds a credential or a body.
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("time", UtcDateTime, nullable=False),
    Column("request_id", String(64)),
    Column("actor", String(64)),
    Column("username", String(255)),
    Column("action", String(64), nullable=False),
    Column("target", String(255)),
    Column("status", Integer, nullable=False),
    Column("address", String(64)),
    Index("audit_time", "time"),
    Index("audit_actor_time", "actor", "time"),
)
