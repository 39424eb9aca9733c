"""What a WebDAV door says of the files in a folder."""

from __future__ import annotations

import base64

import pytest

from gridsync_parts.doors.digests import digest_of
from gridsync_parts.doors.listing import entry_of, listing_of, path_of, time_of
from gridsync_parts.errors import DoorError
from gridsync_parts.values import UNFINISHED, Entry, Locality

# Checksums and times.

ADLER, SHA = "adler=:A9oBlQ==:", f"sha-256=:{'A' * 43}=:"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("adler32=03da0195", "adler32:03da0195"),
        ("adler32=3DA0195", "adler32:03da0195"),
        (ADLER, "adler32:03da0195"),
        (f"{ADLER};since=2, {SHA}", f"sha256:{'0' * 64}"),
        (f"{SHA};x, md5=:{'A' * 22}==:", f"sha256:{'0' * 64}"),
        (f"adler32=03da0195,,{SHA}", f"sha256:{'0' * 64}"),
        (f"sha-256={'A' * 43}=,adler32=03da0195", f"sha256:{'0' * 64}"),
        ("sha-256=:AAAA:, adler32=03da0195", "adler32:03da0195"),  # of two, one is none
        ("sha-256=03da0195!,adler32=03da0195", "adler32:03da0195"),
        ("crc32c=:AAAAAA==:, unixsum=30637", ""),
        ("adler=:A9oB:", ""),
        ("adler=:", ""),
        ("sha-256=?1", ""),
    ],
)
def test_what_a_digest_means(said, meant):
    assert digest_of(said) == meant


@pytest.mark.parametrize(
    ("name", "kind", "size"),
    [
        ("sha-512", "sha512", 64),
        ("SHA-256", "sha256", 32),
        ("sha", "sha1", 20),
        ("md5", "md5", 16),
        ("adler32", "adler32", 4),
        ("Adler", "adler32", 4),
    ],
)
def test_each_kind_has_its_name_and_its_length(name, kind, size):
    data = bytes(range(size))
    assert digest_of(f"{name}={base64.b64encode(data).decode()}") == f"{kind}:{data.hex()}"
    for other in (data[1:], data + b"x"):
        assert digest_of(f"{name}={base64.b64encode(other).decode()}") == ""


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("Tue, 09 Jun 2015 12:00:00 GMT", 1433851200),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Tue, 09 Jun 2015 14:00:00 +0200", 1433851200),
        ("Tuesday, 09-Jun-15 12:00:00 GMT", 1433851200),
        ("Tue, 09 Jun 1000 12:00:00 GMT", 0),
        ("Tue, 09 Jux 2015 12:00:00 GMT", 0),
        ("Tue, 99 Jun 2015 12:00:00 GMT", 0),
        ("Tue, 09 Jun 2015 99:00:00 GMT", 0),
        ("2015-06-09T12:00:00Z", 0),
        ("Tue, 09 Jun 99999999999999999999 12:00:00 GMT", 0),
        ("now", 0),
        ("", 0),
    ],
)
def test_what_time_a_door_means(text, when):
    assert time_of(text) == when


# Paths and entries.


@pytest.mark.parametrize(
    ("href", "path"),
    [
        ("/agata/run", "/agata/run"),
        ("/agata/run/", "/agata/run"),
        ("https://door:2880/agata/run/", "/agata/run"),
        ("/agata/my%20run", "/agata/my run"),
        ("/agata/my run", "/agata/my run"),
        ("/agata/a?b=c#d", "/agata/a"),
        ("/agata/%FF", "/agata/\udcff"),
        ("//door/agata", "/agata"),
        ("https://[::1/agata/", "https://[::1/agata"),  # no URL
    ],
)
def test_which_path_a_listing_means(href, path):
    assert path_of(href) == path


SIZE, CHECKSUMS = "DAV:}getcontentlength", "http://www.dcache.org/2013/webdav}Checksums"
ADLER32, WHERE = (
    "http://storm.italiangrid.org/2014/webdav}Checksum",
    "http://srm.lbl.gov/StorageResourceManager}FileLocality",
)


@pytest.mark.parametrize(
    ("properties", "entry"),
    [
        ({SIZE: "10"}, Entry("a", False, 10, 0)),
        ({}, Entry("a", False, UNFINISHED, 0)),
        ({SIZE: "0"}, Entry("a", False, 0, 0)),
        ({SIZE: "10", "DAV:}getlastmodified": "Tue, 09 Jun 2015 12:00:00 GMT"}, Entry("a", False, 10, 1433851200)),
        ({SIZE: "10", CHECKSUMS: "adler32=1"}, Entry("a", False, 10, 0, "adler32:00000001")),
        ({SIZE: "10", ADLER32: "2"}, Entry("a", False, 10, 0, "adler32:00000002")),
        ({SIZE: "10", ADLER32: "", CHECKSUMS: "adler32=1"}, Entry("a", False, 10, 0, "adler32:00000001")),
        ({SIZE: "10", WHERE: "NEARLINE"}, Entry("a", False, 10, 0, "", Locality.NEARLINE)),
        ({SIZE: "10", WHERE: "somewhere"}, Entry("a", False, 10, 0)),
    ],
)
def test_what_the_properties_of_a_file_mean(properties, entry):
    assert entry_of("a", False, properties) == entry


def test_of_a_folder_only_its_time_is_told():
    assert entry_of("a", True, {SIZE: "512", WHERE: "ONLINE"}) == Entry("a", True, 0, 0)


@pytest.mark.parametrize("size", ["-1", "ten", "1e3", "1" * 19, "\u0661", "1.0"])
def test_a_size_that_is_none_is_told(size):
    with pytest.raises(ValueError, match="the size of a cannot be right"):
        entry_of("a", False, {SIZE: size})


FOLDER, FILE = "<d:resourcetype><d:collection/></d:resourcetype>", "<d:getcontentlength>10</d:getcontentlength>"
ROW = (
    "<d:response><d:href>{}</d:href><d:propstat><d:prop>{}</d:prop>"
    "<d:status>HTTP/1.1 {}</d:status></d:propstat></d:response>"
)


def listing(*hrefs: str, status: str = "200 OK") -> str:
    """An answer to PROPFIND: what ends in a slash is a folder, all else a file of ten bytes."""
    rows = [ROW.format(href, FOLDER if href.endswith("/") else FILE, status) for href in hrefs]
    return f'<d:multistatus xmlns:d="DAV:">{"".join(rows)}</d:multistatus>'


def read(xml: str, folder: str = "run") -> tuple[list[str], list[str]]:
    """The paths that a listing has, and those that it leaves out."""
    found = listing_of([xml[:99].encode(), xml[99:].encode()], "/agata", folder, f"https://door/agata/{folder}")
    return [entry.path + "/" * entry.is_folder for entry in found], list(found.odd)


@pytest.mark.parametrize(
    ("hrefs", "there", "odd"),
    [
        (["/agata/run/"], [], []),
        (["/agata/run/", "/agata/run/a", "/agata/run/sub/"], ["run/a", "run/sub/"], []),
        (["/agata/run"], ["run"], []),  # it is a file
        (["https://door/agata/run/", "https://door/agata/run/a"], ["run/a"], []),
        (["/agata/run/", "/agata/run/a/b"], [], ["//agata/run/a/b"]),  # it is not in this folder
        (["/agata/run/", "/agata/other"], [], ["//agata/other"]),
        (["/agata/run/", "/agata/run2"], [], ["//agata/run2"]),
        (["/agata/run/", "/agata/run/%2E%2E"], [], ["//agata/run/.."]),
        (["/agata/run/", "/agata/run/a%2Fb"], [], ["//agata/run/a/b"]),
        (["/agata/run/", "/agata/run/x%00"], [], ["//agata/run/x\0"]),
    ],
)
def test_what_is_in_a_folder_and_what_can_not_be(hrefs, there, odd):
    assert read(listing(*hrefs)) == (there, odd)


@pytest.mark.parametrize(
    "xml",
    [
        "",
        "no XML",
        listing("/agata/run/")[:-5],
        listing("/agata/other/"),  # not even what was asked for
        listing(),
        listing("/agata/run/").replace("<d:multistatus", '<!DOCTYPE d [<!ENTITY a "b">]><d:multistatus'),
    ],
)
def test_a_listing_without_sense_may_have_some_next_time(xml):
    with pytest.raises(DoorError, match="https://door/agata/run: the door's listing makes no sense: ") as caught:
        read(xml)
    assert caught.value.passing


def test_what_a_door_can_not_tell_counts_for_nothing():
    xml = listing("/agata/run", status="404 Not Found")
    (found,) = listing_of([xml.encode()], "/agata", "run", "https://door/agata/run")
    assert found == Entry("run", False, UNFINISHED, 0)
