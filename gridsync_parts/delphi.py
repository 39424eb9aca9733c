"""A record of the CERN Open Data portal as metadata of the particles model that NRP repositories have.

Nothing is invented: a field for which the portal's record has nothing is absent. Any JSON object will do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

PORTAL = "https://opendata.cern.ch/record/"
RECID = r"[A-Za-z0-9][\w.-]{0,99}"
YEAR = r"(?<!\d)(?:1[89]|20)\d\d(?!\d)"
NUMBER = r"\d{1,9}(?:\.\d{1,9})?"
# "181-210 GeV", with whatever dash, "7TeV", "900 GeV to 2.36 TeV".
ENERGY = re.compile(rf"({NUMBER})\s*([kMGT]eV)?(?:\s*(?:[-\u2010-\u2015\u2212~]|to)\s*({NUMBER}))?\s*([kMGT]eV)")
ECMS = re.compile(rf"\becms\s*=\s*({NUMBER})\s*([kMGT]eV)?", re.IGNORECASE)  # DELPHI leaves out its GeV
IN_GEV = {"keV": 1e-6, "MeV": 1e-3, "GeV": 1, "TeV": 1000}
MOST_EVENTS = 1 << 63
RESOURCES = {"dataset": "dataset", "software": "software"}
DATASETS = ("collision", "simulated")  # as they are ordered, too

FIELDS = (
    "resource_type", "title", "publisher", "publication_date", "recid", "description", "creators", "file_types",
    "subjects", "rights", "identifiers", "dates", "experiment", "collision_information.type",
    "collision_information.energy", "collision_information.energy_min", "collision_information.energy_max",
    "category", "dataset_type", "number_of_events",
)  # fmt: skip


def metadata_of(source: Mapping[str, Any]) -> Mapping[str, Any]:
    """What says what a record is, whether it is alone or in an answer of the portal."""
    found = source.get("metadata")
    return found if isinstance(found, dict) else source


def part(value: Any, *names: str) -> Any:
    """What stands there in a record, if it is as it should be."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def texts_of(value: Any) -> list[str]:
    """The texts of a field, each once, which may be one or a list of them."""
    found = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    texts = [text.encode("utf-8", "replace").decode().strip() for text in found if isinstance(text, str)]
    return list(dict.fromkeys(filter(None, texts)))


def text_of(value: Any) -> str:
    """The first of them, or nothing."""
    return next(iter(texts_of(value)), "")


def year_of(value: Any) -> str:
    """The year of the first date that has one; dates may be numbers."""
    dates = value if isinstance(value, list) else [value]
    texts = [str(date) for date in dates if isinstance(date, str) or (type(date) is int and 0 < date < 1e9)]
    return next((found[0] for text in texts if (found := re.search(YEAR, text, re.ASCII))), "")


def recid_of(source: Mapping[str, Any]) -> int | str:
    """The number or the word of a record, as the portal writes it; or nothing."""
    for found in (metadata_of(source).get("recid"), source.get("id")):
        if type(found) is int and 0 < found < 1e18:
            return found
        if isinstance(found, str) and re.fullmatch(RECID, found, re.ASCII):
            return found
    return ""


def description_of(metadata: Mapping[str, Any]) -> str:
    """How it was made and what it is; HTML stays, as repositories take it."""
    texts = (text_of(part(metadata, name, "description")) for name in ("methodology", "abstract"))
    return "\n\n".join(filter(None, texts))


def types_of(metadata: Mapping[str, Any], files: Iterable[str]) -> list[str]:
    """The formats, and those that gridsync adds: record.json, and the zip of a bundle."""
    formats = [text.lower() for text in texts_of(part(metadata, "distribution", "formats"))]
    added = ["json"] + ["zip"] * any(name.endswith(".zip") for name in files)
    return list(dict.fromkeys([*formats, *added])) if formats else []


def rights_of(metadata: Mapping[str, Any]) -> list[dict[str, str]]:
    """CC0 where the portal says so; what another licence is called in the repository is not known."""
    licence = text_of(part(metadata, "license", "attribution"))
    return [{"id": "cc0-1.0"}] if re.fullmatch(r"CC0(?:[- ]1\.0)?", licence, re.IGNORECASE) else []


def plain(number: float) -> float:
    """Without what multiplying leaves behind the point, and without a point where there is nothing behind it."""
    number = round(number, 9)
    return int(number) if number == int(number) else number


def bounds_of(energy: str) -> tuple[float, ...]:
    """The least and the highest energy in GeV; none where the text has no unit."""
    found = ENERGY.search(energy)
    if not found:
        return ()
    first, unit, second, last = found.groups()
    low = float(first) * IN_GEV[unit or last]
    high = float(second) * IN_GEV[last] if second else low
    return tuple(map(plain, sorted((low, high))))


def collision_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What has collided, at which energy, which some records say in their abstract alone."""
    said = metadata.get("collision_information")
    energy = text_of(part(said, "energy"))
    if not energy and (found := ECMS.search(text_of(part(metadata, "abstract", "description")))):
        energy = f"{found[1]} {found[2] or 'GeV'}"
    filled: dict[str, Any] = {"type": text_of(part(said, "type")), "energy": energy}
    filled.update(zip(("energy_min", "energy_max"), bounds_of(energy)))
    return {name: value for name, value in filled.items() if value != ""}


def dataset_type(metadata: Mapping[str, Any]) -> str:
    """Whether it was measured or computed."""
    words = {text.lower() for text in texts_of(part(metadata, "type", "secondary"))}
    found = [word for word in DATASETS if word in words]
    return found[0] if len(found) == 1 else ""


def events_of(metadata: Mapping[str, Any]) -> int | None:
    """The number of events."""
    number = part(metadata, "distribution", "number_events")
    return number if type(number) is int and 0 <= number < MOST_EVENTS else None


def cern_to_delphi(source: Mapping[str, Any], name: str, files: Iterable[str] = ()) -> dict[str, Any]:
    """What a repository is told of a record of the portal, of which these files are sent."""
    metadata, recid = metadata_of(source), recid_of(source)
    collaboration = text_of(part(metadata, "collaboration", "name"))
    category = text_of(part(metadata, "categories", "primary"))
    resource = RESOURCES.get(text_of(part(metadata, "type", "primary")).lower())
    created = year_of(metadata.get("date_created"))
    subjects = dict.fromkeys([category, *texts_of(metadata.get("collections"))])
    filled: dict[str, Any] = {
        "resource_type": {"id": resource} if resource else None,
        "title": text_of(metadata.get("title")),
        "publisher": text_of(metadata.get("publisher")),
        "publication_date": year_of(metadata.get("date_published")),
        "recid": recid,
        "description": description_of(metadata),
        "creators": [{"person_or_org": {"name": collaboration, "type": "organizational"}}] if collaboration else [],
        "file_types": types_of(metadata, files),
        "subjects": [{"subject": subject} for subject in subjects if subject],
        "rights": rights_of(metadata),
        "identifiers": [{"identifier": f"{PORTAL}{recid}", "scheme": "url"}] if recid else [],
        "dates": [{"date": created, "type": {"id": "created"}}] if created else [],
        "experiment": text_of(metadata.get("experiment")),
        "collision_information": collision_of(metadata),
        "category": {"id": slug} if (slug := re.sub(r"[\W_]+", "-", category.lower()).strip("-")) else None,
        "dataset_type": dataset_type(metadata),
        "number_of_events": events_of(metadata),
    }
    return {"metadata": {key: value for key, value in filled.items() if value not in ("", None, [], {})}}


def missing_in(body: Mapping[str, Any]) -> list[str]:
    """The fields for which the portal's record had nothing; one of which all parts are missing, as one."""
    lacking = [name for name in FIELDS if part(body, "metadata", *name.split(".")) is None]
    wholes = {name.partition(".")[0] for name in lacking}
    lost = {whole for whole in wholes if part(body, "metadata", whole) is None}
    return list(dict.fromkeys(whole if (whole := name.partition(".")[0]) in lost else name for name in lacking))


def order(source: Mapping[str, Any], name: str) -> int:
    """When a record's turn comes: collisions, simulations, what is neither, what says nothing of its type."""
    metadata = metadata_of(source)
    if word := dataset_type(metadata):
        return DATASETS.index(word)
    return len(DATASETS) + (text_of(part(metadata, "type", "primary")) == "")
