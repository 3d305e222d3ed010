"""Tables of the knowledge room: datasets, versions, documents, revisions, contents, and what is staged."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, LargeBinary, Text, func
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from integrations_api.db.base import Base

FOREVER = 2_147_483_647
"""`valid_to` of a revision that nothing has replaced: the greatest integer."""

NumberText = Text(collation="C")
"""Numbers and external ids sort by their bytes, the same on every server."""


class Dataset(Base):
    """All knowledge of one integration; it has the integration's id and outlives it."""

    __tablename__ = "datasets"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    integration_id: Mapped[UUID | None] = mapped_column(ForeignKey("integrations.id", ondelete="SET NULL"), unique=True)
    service_name: Mapped[str]
    head: Mapped[int | None] = mapped_column(comment="number of the version that readers see")
    last_version: Mapped[int] = mapped_column(server_default="0", comment="numbers are never used again")
    documents: Mapped[int] = mapped_column(server_default="0", comment="live at the head")
    tombstones: Mapped[int] = mapped_column(server_default="0")
    partial_since: Mapped[datetime | None] = mapped_column(
        comment="the first sync was told to begin here, and no full one has run since: older records are missing"
    )
    verdict: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    mapping_version: Mapped[int] = mapped_column(
        server_default="1", comment="of the mapping that made the head's contents; see ServiceDescription"
    )
    pruned_at: Mapped[datetime | None] = mapped_column(comment="when the daily pruning last began here")
    pruning: Mapped[dict[str, Any] | None] = mapped_column(
        comment="where a run that began has ended it: it goes on there"
    )


class Version(Base):
    """A numbered state of a dataset."""

    __tablename__ = "versions"
    __table_args__ = (
        CheckConstraint("state IN ('building', 'published', 'held', 'abandoned', 'pruned')", name="state"),
        CheckConstraint("kind IN ('sync', 'rollback', 'remap')", name="kind"),
        # After a year there are tens of thousands, nearly all of them published, or else pruned.
        Index("ix_versions_state", "dataset_id", "state", "number"),
    )

    dataset_id: Mapped[UUID] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]
    kind: Mapped[str]
    run_id: Mapped[UUID | None]
    parent: Mapped[int | None] = mapped_column(comment="the head it was built upon")
    source_version: Mapped[int | None] = mapped_column(comment="of a rollback: the version it equals")
    mapping_version: Mapped[int] = mapped_column(server_default="1", comment="of the mapping it was made with")
    added: Mapped[int] = mapped_column(server_default="0")
    updated: Mapped[int] = mapped_column(server_default="0")
    deleted: Mapped[int] = mapped_column(server_default="0")
    documents: Mapped[int] = mapped_column(server_default="0", comment="live in it, once published")
    words: Mapped[int] = mapped_column(BigInteger, server_default="0", comment="in the texts of its live documents")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    published_at: Mapped[datetime | None]
    note: Mapped[str | None]


class Document(Base):
    """An incident with its stable identity: its id is made from the dataset's and the source's own."""

    __tablename__ = "documents"
    __table_args__ = (Index("uq_documents_external_id", "dataset_id", "external_id", unique=True),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    dataset_id: Mapped[UUID] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))
    external_id: Mapped[str] = mapped_column(NumberText)
    source_created_at: Mapped[datetime | None]


class Content(Base):
    """Text and attributes, stored once for each hash; what a revision points to."""

    __tablename__ = "contents"
    __table_args__ = (
        Index("uq_contents_hash", "dataset_id", "hash", unique=True),
        Index("ix_contents_tsv", "tsv", postgresql_using="gin"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    dataset_id: Mapped[UUID] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))
    hash: Mapped[bytes] = mapped_column(LargeBinary, comment="of the mapped document, see knowledge/documents.py")
    title: Mapped[str]
    text: Mapped[str]
    notes: Mapped[list[Any]]
    attributes: Mapped[dict[str, Any]]
    url: Mapped[str | None]
    tsv: Mapped[Any] = mapped_column(TSVECTOR, nullable=False, comment="see knowledge/terms.py")
    words: Mapped[int] = mapped_column(server_default="0", comment="length of tsv, in words")


class TermCount(Base):
    """In how many documents a term stands, from this version on until the term's next row."""

    __tablename__ = "term_counts"

    dataset_id: Mapped[UUID] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True)
    term: Mapped[str] = mapped_column(NumberText, primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    documents: Mapped[int]


class EmbeddingModel(Base):
    """A model by whose vectors texts are compared; the vectors stand in a table of its own, see vectors.py."""

    __tablename__ = "embedding_models"
    __table_args__ = (
        CheckConstraint("state IN ('filling', 'active', 'retired')", name="state"),
        Index("uq_embedding_models_active", "state", unique=True, postgresql_where="state = 'active'"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    state: Mapped[str]
    dimension: Mapped[int | None] = mapped_column(comment="known from the first answer on")
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ContentText(Base):
    """Which text a content has: many contents differ in attributes only, and share its vector."""

    __tablename__ = "content_texts"
    __table_args__ = (Index("ix_content_texts_hash", "hash"),)

    content_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("contents.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    hash: Mapped[bytes] = mapped_column(LargeBinary, comment="of the text that is embedded")


class EmbeddingQueue(Base):
    """A text that waits for its vector."""

    __tablename__ = "embedding_queue"
    __table_args__ = (
        Index("ix_embedding_queue_waiting", "model_id", "claimed_until", postgresql_where="failure IS NULL"),
    )

    model_id: Mapped[int] = mapped_column(ForeignKey("embedding_models.id", ondelete="CASCADE"), primary_key=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    claimed_until: Mapped[datetime] = mapped_column(server_default="-infinity", comment="until then a worker is at it")
    failure: Mapped[str | None] = mapped_column(comment="why the service does not take this text")


class EmbeddingSweep(Base):
    """How far a dataset was looked through for texts that lack a model's vector."""

    __tablename__ = "embedding_sweeps"

    model_id: Mapped[int] = mapped_column(ForeignKey("embedding_models.id", ondelete="CASCADE"), primary_key=True)
    dataset_id: Mapped[UUID] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True)
    swept: Mapped[int] = mapped_column(server_default="0", comment="version up to which texts were queued")
    is_filled: Mapped[bool] = mapped_column(server_default="false", comment="was complete once")


class Revision(Base):
    """A document's being in versions `valid_from <= v < valid_to` with a certain content."""

    __tablename__ = "revisions"
    __table_args__ = (
        CheckConstraint("change IN ('added', 'updated', 'touched', 'deleted')", name="change"),
        CheckConstraint("valid_from < valid_to", name="interval"),
        Index("ix_revisions_number", "dataset_id", "number", "document_id"),
        Index("ix_revisions_begun", "dataset_id", "valid_from"),
        # What a diff and a rollback start from: most updates at a source move nothing but the time stamp.
        Index("ix_revisions_changed", "dataset_id", "valid_from", postgresql_where="change <> 'touched'"),
        # Without it every content that is deleted would scan this table for its foreign key.
        Index("ix_revisions_content", "content_id"),
        Index("ix_revisions_ended", "dataset_id", "valid_to", postgresql_where=f"valid_to < {FOREVER}"),
        Index("uq_revisions_live", "document_id", unique=True, postgresql_where=f"valid_to = {FOREVER}"),
    )

    document_id: Mapped[UUID] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True)
    valid_from: Mapped[int] = mapped_column(primary_key=True)
    valid_to: Mapped[int] = mapped_column(server_default=str(FOREVER))
    dataset_id: Mapped[UUID]
    content_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("contents.id"))
    number: Mapped[str] = mapped_column(NumberText)
    change: Mapped[str] = mapped_column(
        comment="added, updated, deleted (a tombstone), or touched: only the source's time stamp moved"
    )
    reason: Mapped[str | None] = mapped_column(comment="of a tombstone: deleted, archived, …")
    source_updated_at: Mapped[datetime | None]


class RawRecord(Base):
    """A record as the source sent it, staged by a run; `hash` names its content, `rejection` says why it has none."""

    __tablename__ = "raw_records"
    __table_args__ = (Index("ix_raw_records_document", "dataset_id", "external_id"),)

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(NumberText, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, comment="order of arrival; the last one counts")
    dataset_id: Mapped[UUID]
    number: Mapped[str | None] = mapped_column(NumberText)
    source_updated_at: Mapped[datetime | None]
    source_created_at: Mapped[datetime | None]
    hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    rejection: Mapped[str | None]
    raw: Mapped[str] = mapped_column(comment="JSON as text: jsonb could not hold every character")
    # Written by release 0.1 alone, and read from its unfinished runs (staging.adopt); the next release drops them.
    title: Mapped[str | None]
    text: Mapped[str | None]
    notes: Mapped[list[Any] | None]
    attributes: Mapped[dict[str, Any] | None]
    url: Mapped[str | None]


class StagedChange(Base):
    """One change a run is about to make, in the order of its batches."""

    __tablename__ = "staged_changes"

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[UUID]
    external_id: Mapped[str] = mapped_column(NumberText)
    number: Mapped[str] = mapped_column(NumberText)
    change: Mapped[str]
    reason: Mapped[str | None]
    content_id: Mapped[int | None] = mapped_column(BigInteger, comment="what it becomes; NULL for a removal")
    source_updated_at: Mapped[datetime | None]
    source_created_at: Mapped[datetime | None]
    # Written by release 0.1 alone; the next release drops it.
    seq: Mapped[int | None] = mapped_column(BigInteger, comment="of the raw record it comes from")


class RejectedRecord(Base):
    """A record that could not be mapped, kept with its reason until a later run maps it or it changes.

    Its copy, `raw`, is empty once it is resolved: a later run has one of its own, or there is nothing to try again.
    """

    __tablename__ = "rejected_records"
    __table_args__ = (
        Index("ix_rejected_records_open", "dataset_id", postgresql_where="NOT resolved"),
        # Each run leaves a row of what cannot be mapped: a purge, and the daily look at each dataset, read all of them.
        Index("ix_rejected_records_document", "dataset_id", "external_id"),
    )

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(NumberText, primary_key=True)
    dataset_id: Mapped[UUID]
    number: Mapped[str | None]
    reason: Mapped[str]
    source_updated_at: Mapped[datetime | None]
    source_created_at: Mapped[datetime | None]
    raw: Mapped[str]
    resolved: Mapped[bool] = mapped_column(server_default="false")
    at: Mapped[datetime] = mapped_column(server_default=func.now())
