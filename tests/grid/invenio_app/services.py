"""What may be done with records, by whom, and what an answer says."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from flask_principal import Need, UserNeed
from invenio_drafts_resources.services import RecordService
from invenio_drafts_resources.services.records.components import (
    DraftFilesComponent,
    DraftMetadataComponent,
    PIDComponent,
    ServiceComponent,
)
from invenio_drafts_resources.services.records.config import RecordServiceConfig, is_draft, is_record
from invenio_drafts_resources.services.records.permissions import RecordPermissionPolicy
from invenio_drafts_resources.services.records.schema import ParentSchema, RecordSchema
from invenio_records_permissions.generators import AnyUser, Generator, SystemProcess
from invenio_records_resources.services import (
    ConditionalLink,
    EndpointLink,
    ExternalLink,
    FileService,
    FileServiceConfig,
    LinksTemplate,
)
from invenio_records_resources.services.files.links import FileEndpointLink
from invenio_records_resources.services.records.links import RecordEndpointLink
from invenio_records_resources.services.records.results import RecordList
from marshmallow import EXCLUDE, Schema, ValidationError, fields, pre_load, validate
from marshmallow_utils.fields import NestedAttribute

WRITER = Need("scope", "deposit:write")  # a token that may write at all
ANYBODY, SYSTEM = AnyUser(), SystemProcess()


def writer(user: str) -> Need:
    """What a token must have to write what is this user's."""
    return Need("writer", user)


class Owner(Generator):
    """Whose record it is, with any token or with one that may write."""

    def __init__(self, writes: bool = False) -> None:
        self.writes = writes

    def needs(self, record: Any = None, **_: Any) -> list[Any]:
        if record is None:
            return []
        user = ((record.parent.get("access") or {}).get("owned_by") or {}).get("user", "")
        return [writer(user) if self.writes else UserNeed(user)]


class IfPublic(Generator):
    """Anybody, if that part of the record is public."""

    def __init__(self, part: str) -> None:
        self.part = part

    def needs(self, record: Any = None, **_: Any) -> list[Any]:
        access = (record or {}).get("access") or {}
        return ANYBODY.needs() if access.get(self.part) == "public" == access.get("record") else []


class Writer(Generator):
    """Who has a token that may write."""

    def needs(self, **_: Any) -> list[Any]:
        return [WRITER]


class Policy(RecordPermissionPolicy):
    """Everybody reads what is public, owners alone what is restricted or a draft."""

    looks, writes = [Owner(), SYSTEM], [Owner(writes=True), SYSTEM]
    can_search = can_search_drafts = can_search_versions = [ANYBODY]
    can_create = [Writer(), SYSTEM]
    can_new_version = can_edit = can_publish = can_update_draft = can_delete_draft = can_manage_files = writes
    can_read_draft = looks
    can_read = [IfPublic("record"), *looks]
    can_read_files = can_get_content_files = [IfPublic("files"), *looks]
    can_draft_read_files = can_draft_get_content_files = can_draft_get_file_transfer_metadata = looks
    can_draft_create_files = can_draft_set_content_files = can_draft_commit_files = can_draft_delete_files = writes
    can_draft_extract_file_metadata = can_draft_update_file_transfer_metadata = writes


class PersonSchema(Schema):
    type = fields.Str(required=True, validate=validate.OneOf(["personal", "organizational"]))
    name = fields.Str()
    given_name = fields.Str()
    family_name = fields.Str()
    identifiers = fields.List(fields.Dict())

    @pre_load
    def name_it(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """A person's name is made of two, an organisation's is given."""
        if data.get("type") == "personal" and not data.get("family_name"):
            raise ValidationError("Family name cannot be blank.", "family_name")
        if data.get("type") == "organizational" and not data.get("name"):
            raise ValidationError("Name cannot be blank.", "name")
        return data


class CreatorSchema(Schema):
    person_or_org = fields.Nested(PersonSchema, required=True)
    role = fields.Dict()
    affiliations = fields.List(fields.Dict())


class TypeSchema(Schema):
    id = fields.Str(required=True, validate=validate.OneOf(["dataset", "software", "publication", "other"]))
    title = fields.Dict(dump_only=True)


class MetadataSchema(Schema):
    """Of what InvenioRDM knows; other fields are refused."""

    title = fields.Str(required=True, validate=validate.Length(min=3))
    creators = fields.List(fields.Nested(CreatorSchema), required=True, validate=validate.Length(min=1))
    publication_date = fields.Str(required=True, validate=validate.Regexp(r"^\d{4}(-\d\d(-\d\d)?)?$"))
    resource_type = fields.Nested(TypeSchema, required=True)
    publisher = fields.Str()
    description = fields.Str()
    subjects = fields.List(fields.Dict())
    rights = fields.List(fields.Dict())
    identifiers = fields.List(fields.Dict())
    related_identifiers = fields.List(fields.Dict())
    dates = fields.List(fields.Dict())
    formats = fields.List(fields.Str())
    version = fields.Str()


class AccessSchema(Schema):
    record = fields.Str(validate=validate.OneOf(["public", "restricted"]))
    files = fields.Str(validate=validate.OneOf(["public", "restricted"]))
    embargo = fields.Dict()
    status = fields.Str(dump_only=True)


class FilesSchema(Schema):
    class Meta:
        unknown = EXCLUDE  # what a draft says of itself is validated when it is published

    enabled = fields.Bool()
    default_preview = fields.Str(allow_none=True)
    order = fields.List(fields.Str())
    count = fields.Int(dump_only=True)
    total_bytes = fields.Int(dump_only=True)


class OwnedSchema(ParentSchema):
    access = fields.Dict(dump_only=True)


class Described(RecordSchema):
    """A record or a draft."""

    parent = NestedAttribute(OwnedSchema, dump_only=True)
    metadata = NestedAttribute(MetadataSchema, required=True)
    access = fields.Nested(AccessSchema)
    files = NestedAttribute(FilesSchema)
    pids = fields.Dict()
    custom_fields = fields.Dict()


class AccessComponent(ServiceComponent):
    """Whose it is, and who may read it."""

    def create(self, identity: Any, data: Any = None, record: Any = None, **_: Any) -> None:
        self.update_draft(identity, data, record)
        record.parent["access"] = {"owned_by": {"user": str(identity.id)}}

    def update_draft(self, identity: Any, data: Any = None, record: Any = None, **_: Any) -> None:
        record["access"] = {"record": "public", "files": "public", **(data.get("access") or {})}

    def publish(self, identity: Any, draft: Any = None, record: Any = None, **_: Any) -> None:
        record["access"] = draft["access"]

    def edit(self, identity: Any, draft: Any = None, record: Any = None, **_: Any) -> None:
        draft["access"] = record["access"]

    new_version = edit


class Hits(NamedTuple):
    """One page of what a search has found."""

    total: int
    page: list[Any]


class Found(RecordList):
    """The answer to a search that was made in SQL."""

    @property
    def total(self) -> int:
        return self._results.total

    @property
    def hits(self) -> Any:
        for record in self._results.page:
            shown = self._schema.dump(record, context={"identity": self._identity, "record": record})
            yield {**shown, "links": self._links_item_tpl.expand(self._identity, record)}


class Records(RecordService):
    """Searches in SQL, as there is no search engine: words of the titles alone are found."""

    def search(self, identity: Any, params: Any = None, **_: Any) -> Found:
        found = [one for one in _live(self.record_cls) if self.check_permission(identity, "read", record=one)]
        return self._found(identity, found, params, self.config.links_search)

    def search_drafts(self, identity: Any, params: Any = None, **_: Any) -> Found:
        """Drafts of a user, and published records that are not edited."""
        drafts = [one for one in _live(self.draft_cls) if _is_of(one, identity)]
        edited = {one.id for one in drafts}
        records = [one for one in _live(self.record_cls) if _is_of(one, identity) and one.id not in edited]
        return self._found(identity, [*drafts, *records], params, self.config.links_search_drafts)

    def search_versions(self, identity: Any, id_: str, params: Any = None, **_: Any) -> Found:
        parent = self.record_cls.pid.resolve(id_).parent.id
        found = [one for one in _live(self.record_cls) if one.parent.id == parent]
        found = [one for one in found if self.check_permission(identity, "read", record=one)]
        return self._found(identity, found, params, self.config.links_search_versions, id_)

    def _found(self, identity: Any, records: list[Any], params: Any, links: Any, id_: str = "") -> Found:
        params = {"size": 25, "page": 1, "sort": "newest", **(params or {})}
        text = re.sub(r"\b(metadata\.)?title:", "", params.get("q") or "").replace("\\", "")
        words = [quoted or word for quoted, word in re.findall(r'"([^"]*)"|([^\s"()]+)', text.lower())]
        found = [one for one in records if all(word in _title(one).lower() for word in words)]
        found.sort(key=lambda one: one.created, reverse=True)
        start = params["size"] * (params["page"] - 1)
        template = LinksTemplate(links, context={"args": params, "pid_value": id_})
        hits = Hits(len(found), found[start : start + params["size"]])
        return Found(self, identity, hits, params, links_tpl=template, links_item_tpl=self.links_item_tpl)


def _live(kind: Any) -> list[Any]:
    rows = kind.model_cls.query.filter_by(is_deleted=False).all()
    return [kind.get_record(row.id) for row in rows]


def _is_of(record: Any, identity: Any) -> bool:
    return bool(record.parent["access"]["owned_by"]["user"] == str(identity.id))


def _title(record: Any) -> str:
    return str((record.get("metadata") or {}).get("title") or "")


def by_kind(draft: str, record: str) -> ConditionalLink:
    return ConditionalLink(cond=is_record, if_=RecordEndpointLink(record), else_=RecordEndpointLink(draft))


class RecordsConfig(RecordServiceConfig):
    service_id = "records"
    permission_policy_cls = Policy
    schema = Described
    schema_parent = OwnedSchema
    components = [DraftMetadataComponent, AccessComponent, DraftFilesComponent, PIDComponent]
    links_item = {
        **{name: link for name, link in RecordServiceConfig.links_item.items() if not name.endswith("_html")},
        "self_html": ConditionalLink(
            cond=is_record,
            if_=ExternalLink("{+ui}/records/{id}", vars=lambda one, names: names.update(id=one.pid.pid_value)),
            else_=ExternalLink("{+ui}/uploads/{id}", vars=lambda one, names: names.update(id=one.pid.pid_value)),
        ),
        "latest": RecordEndpointLink("records.read_latest"),
        "files": by_kind("draft_files.search", "record_files.search"),
        "archive": by_kind("draft_files.read_archive", "record_files.read_archive"),
        "publish": RecordEndpointLink("records.publish", when=is_draft),
    }


class FilesConfig(FileServiceConfig):
    """Files of published records."""

    service_id = "record-files"
    permission_policy_cls = Policy
    allow_upload = False
    blueprint = "record_files"

    @classmethod
    def links(cls) -> dict[str, Any]:
        """The links of a list, of a file, and of a member of an archive."""
        of_file = ["pid_value", "key"]
        files = {
            "self": FileEndpointLink(f"{cls.blueprint}.read", params=of_file),
            "content": FileEndpointLink(f"{cls.blueprint}.read_content", params=of_file),
            "container": FileEndpointLink(
                f"{cls.blueprint}.list_container", params=of_file,
                when=lambda file, _: file.key.lower().endswith(".zip") and file.has_content,
            ),
        }  # fmt: skip
        if cls.allow_upload:
            files["commit"] = FileEndpointLink(f"{cls.blueprint}.create_commit", params=of_file)
        member = EndpointLink(
            f"{cls.blueprint}.extract_container_item", params=[*of_file, "path"],
            vars=lambda entry, names: names.update(path=entry["key"]),
        )  # fmt: skip
        return {
            "file_links_list": {
                "self": RecordEndpointLink(f"{cls.blueprint}.search"),
                "archive": RecordEndpointLink(f"{cls.blueprint}.read_archive"),
            },
            "file_links_item": files,
            "container_item_links_item": {"content": member},
        }


class DraftFilesConfig(FilesConfig):
    """Files of drafts."""

    service_id = "draft-files"
    permission_action_prefix = "draft_"
    allow_upload = True
    blueprint = "draft_files"


def make_services(draft_cls: Any, record_cls: Any, most_files: int) -> Records:
    """The service of records, with its two of files."""
    RecordsConfig.record_cls, RecordsConfig.draft_cls = record_cls, draft_cls
    FilesConfig.record_cls, DraftFilesConfig.record_cls = record_cls, draft_cls
    for config in (FilesConfig, DraftFilesConfig):
        config.max_files_count = most_files
        for name, links in config.links().items():
            setattr(config, name, links)
    return Records(RecordsConfig, FileService(FilesConfig), FileService(DraftFilesConfig))
