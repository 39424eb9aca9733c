from gridsync_parts.errors import (
    Changed,
    CredentialError,
    DiskError,
    DoorError,
    FileError,
    Forbidden,
    GridError,
    Incomplete,
    Mismatch,
    NotFound,
    OnTape,
    UsageError,
)
from gridsync_parts.face import OpenSite, open_site
from gridsync_parts.uploads import Upload
from gridsync_parts.values import Entry, Locality, Row

__all__ = [
    "Changed", "CredentialError", "DiskError", "DoorError", "Entry", "FileError", "Forbidden", "GridError",
    "Incomplete", "Locality", "Mismatch", "NotFound", "OnTape", "OpenSite", "Row", "Upload", "UsageError", "open_site",
]  # fmt: skip
