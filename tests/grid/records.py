"""Records of the CERN Open Data portal in the shapes of its version 1.1.0 and of before, and many that are computed."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.grid.opensearch import Fields

EOS = "root://eospublic.cern.ch/"  # what stands before the paths of files in production
TAPE = "root://eosctapublic.cern.ch//eos/ctapublic/archive/"
CREATED = "2026-06-01T10:00:00.000000+00:00"
UPDATED = "2026-07-14T09:30:00.123456+00:00"
ONLINE, ON_DEMAND = "online", "on demand"
EXPERIMENTS = ("CMS", "CMS", "CMS", "ATLAS", "ALICE")  # of the computed ones
TYPES = ("Dataset", "Dataset", "Dataset", "Dataset", "Software", "Supplementaries")


@dataclass
class Held:
    """A file of a record; `odd` stands instead of what the portal would rightly say about it, None for nothing."""

    name: str
    path: str  # below /eos/opendata/
    size: int
    checksum: str
    index: str = ""  # the key of the index that it is in
    availability: str = ONLINE
    is_archived: bool = False
    odd: dict[str, Any] = field(default_factory=dict)

    def entry(self, eos: str, key: str, in_file: str) -> Fields:
        """What a list says: "files", which was written once, "_files" or "index", which tape changes."""
        short = self.path.rpartition("/")[2]
        said: Fields = {"key": key, "uri": f"{eos}/eos/opendata/{self.path}", "size": self.size}
        said.update(checksum=self.checksum, bucket="0c1f0d5e", version_id=f"v-{zlib.adler32(self.path.encode()):08x}")
        if in_file == "files":
            said["availability"] = ONLINE
        elif in_file != "old":
            said.update(file_id=f"f-{zlib.adler32(self.path.encode()):08x}", availability=self.availability)
            said["tags"] = {"uri_cold": TAPE + self.path} if self.is_archived else {}
            if self.availability == ON_DEMAND:
                said["tags"]["hot_deleted"] = "2026-03-01"
        if in_file in ("index", "old") and self.index:
            said["filename"] = short
        said.update(self.odd)
        return {name: value for name, value in said.items() if value is not None}


@dataclass
class Record:
    """A record, its number before it became a string (`aliases`), its files, and what else its metadata say."""

    recid: str
    aliases: tuple[str, ...] = ()
    doi: str = ""
    shape: str = "new"  # "old": before there was tape; the recid is a number, there are no _files, nothing is on demand
    metadata: Fields = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    is_requested: bool = False
    updated: str = UPDATED

    def counts(self) -> dict[str, int]:
        """How many files there are of each availability."""
        return dict(Counter(held.availability for held in self.held.values()))

    def fields(self) -> Fields:
        """The metadata but for the files."""
        counts = self.counts()
        kind = next(iter(counts), ONLINE) if len(counts) < 2 else "partial"
        experiment = [self.recid.partition("-")[0].upper()] if "-" in self.recid else ["CMS"]
        said: Fields = {
            "$schema": "https://opendata.cern.ch/schema/records/record-v1.0.0.json",
            "recid": int(self.recid) if self.shape == "old" else self.recid,
            "title": f"Record {self.recid}",
            "abstract": {"description": f"<p>What record {self.recid} is about.</p>"},
            "accelerator": "CERN-LHC",
            "collections": [f"{experiment[0]}-Primary-Datasets"],
            "date_created": ["2011"],
            "date_published": "2014",
            "experiment": experiment,
            "license": {"attribution": "CC0-1.0"},
            "pids": {"oai": {"id": f"oai:cernopendata.cern:{self.recid}"}},
            "publisher": "CERN Open Data Portal",
            "type": {"primary": "Dataset", "secondary": ["Collision"]},
        }
        if self.doi:
            said["doi"] = self.doi
        if self.shape == "new":
            said["availability"] = "requested" if self.is_requested else kind
            said["_availability_details"] = counts
        said["distribution"] = {
            "formats": sorted({name.rpartition(".")[2] for name in self.held if "." in name}),
            "number_files": len(self.held),
            "size": sum(held.size for held in self.held.values()),
            "availability": "ondemand" if set(counts) == {ON_DEMAND} else "online",
        }
        for name, value in self.metadata.items():
            is_part = isinstance(value, dict) and isinstance(said.get(name), dict)
            said[name] = {**said[name], **value} if is_part else value
        return {name: value for name, value in said.items() if value is not None}

    def indices(self) -> dict[str, list[Held]]:
        """The files of each index."""
        found: dict[str, list[Held]] = {}
        for held in self.held.values():
            if held.index:
                found.setdefault(held.index, []).append(held)
        return found

    def index(self, key: str, eos: str) -> Fields:
        """One index, with all that is in it."""
        held = self.indices()[key]
        said: Fields = {"key": key, "number_files": len(held), "size": sum(one.size for one in held)}
        said.update(description=key, bucket="5e0d1f0c")
        if self.shape == "new":
            said["availability"] = dict(Counter(one.availability for one in held))
        where = "index" if self.shape == "new" else "old"
        said["files"] = [one.entry(eos, f"{key}_{number}", where) for number, one in enumerate(held)]
        return said

    def document(self, eos: str = EOS, files: bool = True) -> Fields:
        """The metadata as the portal shows them."""
        said = self.fields()
        if files:
            plain = [held for held in self.held.values() if not held.index]
            kinds = {"files": "files", "_files": "_files"} if self.shape == "new" else {"files": "old"}
            for name, kind in kinds.items():
                said[name] = [held.entry(eos, held.name.rpartition("/")[2], kind) for held in plain]
            said["_file_indices"] = [self.index(key, eos) for key in self.indices()]
        return said


@dataclass
class Page:
    """What a search finds, too, and is no record: a page of the portal's documentation."""

    slug: str
    metadata: Fields = field(default_factory=dict)

    def fields(self) -> Fields:
        said = {"slug": self.slug, "title": f"About {self.slug}", "type": {"primary": "Documentation", "secondary": []}}
        return {**said, "experiment": ["CMS"], **self.metadata}

    def document(self, eos: str = EOS, files: bool = True) -> Fields:
        return self.fields()


@dataclass
class Many:
    """So many records that are computed from their number, each with one file `data.txt`; what is `same` is so for all.

    Three of five are CMS's, the others ATLAS's and ALICE's, one of 101 both CMS's and ATLAS's; years are 2010 to 2015,
    one of 37 has two, one of 41 a day, one of 50 none; four of six are data sets."""

    count: int
    first: int = 100_000
    same: Fields = field(default_factory=dict)

    def __iter__(self) -> Iterator[str]:
        """Their recids."""
        return (f"{self._experiment(number).lower()}-{number}" for number in range(self.first, self.first + self.count))

    def __contains__(self, recid: str) -> bool:
        experiment, _, number = recid.partition("-")
        return number.isdecimal() and self.first <= int(number) < self.first + self.count and (
            experiment.upper() == self._experiment(int(number))
        )  # fmt: skip

    def _experiment(self, number: int) -> str:
        return EXPERIMENTS[number % len(EXPERIMENTS)]

    def data(self, recid: str) -> bytes:
        return f"The data of record {recid}.\n".encode()

    def fields(self, recid: str) -> Fields:
        number = int(recid.partition("-")[2])
        experiment = self._experiment(number)
        year = 2010 + number // 7 % 6
        said: Fields = {
            "recid": recid,
            "title": f"/Run{year}/Number{number}",
            "doi": f"10.7483/OPENDATA.{experiment}.{number}",
            "experiment": ["CMS", "ATLAS"] if number % 101 == 0 else [experiment],
            "type": {"primary": TYPES[number // 5 % len(TYPES)], "secondary": []},
            "date_published": str(year + 3),
            "availability": ONLINE,
            "distribution": {"formats": ["txt"], "availability": "online", "number_files": 1},
        }
        if number % 50:
            said["date_created"] = [str(year), str(year + 1)] if number % 37 == 0 else [str(year)]
            if number % 41 == 0:
                said["date_created"] = [f"{year}-06-03"]
        return {**said, **self.same}

    def record(self, recid: str) -> Record:
        """One of them as a record like others."""
        data = self.data(recid)
        fields = self.fields(recid)
        held = Held("data.txt", f"many/{recid}/data.txt", len(data), f"adler32:{zlib.adler32(data):08x}")
        return Record(recid, doi=fields["doi"], metadata=fields, held={held.name: held})
