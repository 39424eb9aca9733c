"""Tables and classes of the records: drafts, records, what both have in common, and their files."""

from __future__ import annotations

import json
import os

from invenio_db import db
from invenio_drafts_resources.records import Draft as AnyDraft
from invenio_drafts_resources.records import DraftMetadataBase, ParentRecordMixin, ParentRecordStateMixin
from invenio_drafts_resources.records import ParentRecord as AnyParent
from invenio_drafts_resources.records import Record as AnyRecord
from invenio_files_rest.models import Bucket
from invenio_records.models import RecordMetadataBase
from invenio_records.systemfields import DictField, ModelField
from invenio_records_resources.records.api import FileRecord
from invenio_records_resources.records.models import FileRecordModelMixin
from invenio_records_resources.records.systemfields import FilesField
from sqlalchemy.ext.declarative import declared_attr
from sqlalchemy_utils.types import UUIDType

with open(os.environ["SETTINGS"]) as opened:
    SETTINGS = json.load(opened)
BUCKET = {"quota_size": SETTINGS["quota"], "max_file_size": SETTINGS["quota"]}


class WithBucket:
    """Where the files of a row are."""

    @declared_attr
    def bucket_id(cls):
        return db.Column(UUIDType, db.ForeignKey(Bucket.id))

    @declared_attr
    def bucket(cls):
        return db.relationship(Bucket)


class ParentRow(db.Model, RecordMetadataBase):
    __tablename__ = "tests_parents"


class DraftRow(db.Model, DraftMetadataBase, ParentRecordMixin, WithBucket):
    __tablename__ = "tests_drafts"
    __parent_record_model__ = ParentRow


class RecordRow(db.Model, RecordMetadataBase, ParentRecordMixin, WithBucket):
    __tablename__ = "tests_records"
    __parent_record_model__ = ParentRow


class VersionsRow(db.Model, ParentRecordStateMixin):
    __tablename__ = "tests_versions"
    __parent_record_model__ = ParentRow
    __record_model__ = RecordRow
    __draft_model__ = DraftRow


class DraftFileRow(db.Model, RecordMetadataBase, FileRecordModelMixin):
    __tablename__ = "tests_draft_files"
    __record_model_cls__ = DraftRow


class RecordFileRow(db.Model, RecordMetadataBase, FileRecordModelMixin):
    __tablename__ = "tests_record_files"
    __record_model_cls__ = RecordRow


class Parent(AnyParent):
    model_cls = ParentRow
    access = DictField("access", create_if_missing=True)


class DraftFile(FileRecord):
    model_cls = DraftFileRow
    record_cls = None  # below


class RecordFile(FileRecord):
    model_cls = RecordFileRow
    record_cls = None


class Draft(AnyDraft):
    model_cls = DraftRow
    versions_model_cls = VersionsRow
    parent_record_cls = Parent
    bucket_id = ModelField()
    bucket = ModelField(dump=False)
    files = FilesField(store=False, file_cls=DraftFile, delete=False, bucket_args=BUCKET)
    access = DictField("access", create_if_missing=True)


class Record(AnyRecord):
    model_cls = RecordRow
    versions_model_cls = VersionsRow
    parent_record_cls = Parent
    bucket_id = ModelField()
    bucket = ModelField(dump=False)
    files = FilesField(store=False, file_cls=RecordFile, create=False, delete=False, bucket_args=BUCKET)
    access = DictField("access", create_if_missing=True)


DraftFile.record_cls = Draft
RecordFile.record_cls = Record
