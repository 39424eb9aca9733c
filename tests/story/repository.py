"""Records of open data, published in a repository and fetched from there, on its own servers: make demo-repository."""

from __future__ import annotations

import csv
import json
import ssl
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.grid import Grid
from tests.grid.repository import Repository
from tests.grid.shelf import plant
from tests.story.opendata import show
from tests.support.demo import play

MADE_BY = {"delphi-80505": "DELPHI Collaboration", "cms-30512": "CMS Collaboration"}
PUT = "--from NRP --put=data --publish --stats=transfers.jsonl"
BEFORE = (
    ("Fetch two records of the portal. Each brings itself as record.json.",
     "--from CERN_OPENDATA --input_dir 80505:30512 --output_dir data --sync --quiet"),
    ("What would the metadata of one be in the repository? METADATA_HOOK = cern_to_delphi makes them.",
     "--from NRP --put=data/delphi-80505 --dry_run"),
    ("Make the drafts, and send the files. The repository spoils one and is out of order for a moment, on purpose.",
     "--from NRP --put=data"),
    ("All is there, so publish.", PUT),
    ("The same line again changes nothing.", PUT),
)  # fmt: skip


def main() -> int:
    """Tell the story, and check its end."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gridsync-repository-") as name, Grid() as grid:
        folder, repository = Path(name), grid.repository
        set_up(grid, folder)
        env = {**grid.env, "GRIDSYNC_DIR": name, "NRP_TOKEN": repository.token}
        for text, line in BEFORE:
            print(f"# {text}")
            show(line, env)
        record = published(folder)["delphi-80505"]
        print("# A file has changed: a published record stays as it is, so there is a new version.")
        (folder / "data/delphi-80505/README.txt").write_text("Read this first.\n")
        show(f"{PUT} --new_version", env)
        newest = published(folder)["delphi-80505"]
        print(f"# Fetch what is published, and compare each file with the repository's md5: {newest}.")
        show(f"--from NRP --input_dir {newest} --output_dir back --sync", env)
        show("--verify", env)
        print(f"# This is what the repository shows of {newest} to everybody:")
        print(shown(repository, newest, env["X509_CERT_DIR"]), end="\n\n")
        wrong = faults(repository, folder, record, newest)
    for fault in wrong:
        print(f"WRONG: {fault}", file=sys.stderr)
    if wrong:
        return 1
    print(f"3 published records, one of them a new version, no draft left over, in {time.monotonic() - began:.0f} s.")
    print("Next: docs/repositories.md, and a repository's sandbox before the real one.")
    return 0


def set_up(grid: Grid, folder: Path) -> None:
    """A portal with records, and a repository with none, which is not at its best today."""
    portal, repository = grid.portal, grid.repository
    plant(portal)
    for recid, name in MADE_BY.items():
        portal.records[recid].metadata["collaboration"] = {"name": name}
    repository.switches.spoils = 1
    repository.goes_wrong("503")
    sites = (
        f"[CERN_OPENDATA]\nSERVER = {portal.server}\nENGINE = opendata\n\n"
        f"[NRP]\nSERVER = {repository.server}\nENGINE = invenio\nTOKEN = env:NRP_TOKEN\n"
        "METADATA_HOOK = cern_to_delphi\n"
    )
    (folder / "Grid.conf").write_text(f"[gridsync]\nRETRIES = 3\n\n{sites}")
    print(f"A portal of open data is up, with {len(portal.records)} records: {portal.base}")
    print(f"A stand-in for a repository is up, too: {repository.base}; it is no real one, and ends with all it has.\n")


def published(folder: Path) -> dict[str, str]:
    """The newest published record of each folder, as grid_uploads.csv says."""
    with (folder / "grid_uploads.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["verified"] == "published"]
    return {Path(row["path"]).name: row["record"] for row in rows}


def shown(repository: Repository, record: str, certificates: str) -> str:
    """What anybody sees of a record who asks for it."""
    url = f"{repository.base}/api/{repository.model}/{record}"
    trust = ssl.create_default_context(capath=certificates)
    told = []
    for address in (url, f"{url}/files"):
        with urllib.request.urlopen(address, context=trust) as answer:
            told.append(json.load(answer))
    document, files = told
    entries = sorted(files["entries"], key=lambda one: str(one["key"]))
    metadata = {name: document["metadata"][name] for name in ("title", "creators", "publication_date")}
    rows = [f"{one['key']:<16} {one['size']:>8} {one['checksum']}" for one in entries]
    return "\n".join([document["links"]["self_html"], json.dumps(metadata), *rows])


def faults(repository: Repository, folder: Path, first: str, newest: str) -> list[str]:
    """What is not as it should be in the end."""
    wrong = []
    if repository.drafts or len(repository.published) != 3:
        wrong.append(f"it has {len(repository.published)} published records, and {len(repository.drafts)} drafts")
    if newest == first or "README.txt" in repository.records[first].files:
        wrong.append(f"the published record {first} was changed")
    for path in (folder / "data/delphi-80505").iterdir():
        held = repository.records[newest].files.get(path.name)
        if held is None or held.data != path.read_bytes():
            wrong.append(f"{path.name} is not in {newest}, or differs")
        here = folder / "back" / newest / path.name
        if not here.is_file() or here.read_bytes() != path.read_bytes():
            wrong.append(f"{path.name} was not fetched, or differs")
    return wrong


if __name__ == "__main__":
    play(main)
