"""The built-in hook: each field of a repository's metadata, from what records of the portal say and from odd ones."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridsync_parts.delphi import FIELDS, cern_to_delphi, missing_in, order
from gridsync_parts.metadata import doubt_in
from tests.support.properties import PROPERTY

# As the portal has records of DELPHI; what is not looked at is left out.
SOURCE = {
    "id": "83243",
    "created": "2024-12-12T14:38:52.228994+00:00",
    "metadata": {
        "$schema": "http://opendata.cern.ch/schema/records/record-v1.0.0.json",
        "abstract": {"description": "ShortDST HZHA03  e+e- --> hA Extended Short DST done at ecms=191.6 , CERN"},
        "categories": {"primary": "Higgs"},
        "collaboration": {"name": "DELPHI"},
        "collections": ["DELPHI"],
        "collision_information": {"energy": "181-210 GeV", "type": "e+e-"},
        "date_created": ["1999"],
        "date_published": "2024",
        "distribution": {"formats": ["XSHORT"], "number_events": 2000, "number_files": 10, "size": 78919680},
        "doi": "10.7483/OPENDATA.DELPHI.Q5L9.P1DY",
        "experiment": ["DELPHI"],
        "license": {"attribution": "CC0-1.0"},
        "methodology": {"description": "The data was simulated by DELSIM."},
        "publisher": "CERN Open Data Portal",
        "recid": "83243",
        "title": "DELPHI simulation data xs_ha50ttbb_e191.6_m18_c99_1l_a1",
        "type": {"primary": "Dataset", "secondary": ["Simulated"]},
    },
}
BODY = {
    "resource_type": {"id": "dataset"},
    "title": "DELPHI simulation data xs_ha50ttbb_e191.6_m18_c99_1l_a1",
    "publisher": "CERN Open Data Portal",
    "publication_date": "2024",
    "recid": "83243",
    "description": "The data was simulated by DELSIM.\n\n"
    "ShortDST HZHA03  e+e- --> hA Extended Short DST done at ecms=191.6 , CERN",
    "creators": [{"person_or_org": {"name": "DELPHI", "type": "organizational"}}],
    "file_types": ["xshort", "json"],
    "subjects": [{"subject": "Higgs"}, {"subject": "DELPHI"}],
    "rights": [{"id": "cc0-1.0"}],
    "identifiers": [{"identifier": "https://opendata.cern.ch/record/83243", "scheme": "url"}],
    "dates": [{"date": "1999", "type": {"id": "created"}}],
    "experiment": "DELPHI",
    "collision_information": {"type": "e+e-", "energy": "181-210 GeV", "energy_min": 181, "energy_max": 210},
    "category": {"id": "higgs"},
    "dataset_type": "simulated",
    "number_of_events": 2000,
}


def filled(changes: dict, files: tuple[str, ...] = ()) -> dict:
    """What is made of a record that says nothing but this."""
    return cern_to_delphi(changes, "1", files)["metadata"]


def test_a_record_of_the_portal_fills_every_field():
    body = cern_to_delphi(SOURCE, "83243")
    assert body == {"metadata": BODY} and missing_in(body) == []
    assert cern_to_delphi(SOURCE["metadata"], "83243") == body  # without what the portal has around it


def test_a_record_that_says_nothing_fills_none_and_all_are_named():
    body = cern_to_delphi({}, "1")
    assert body == {"metadata": {}}
    assert missing_in(body) == list(dict.fromkeys(name.partition(".")[0] for name in FIELDS))


def test_a_record_of_another_experiment_fills_what_it_says():
    said = {"recid": 5500, "title": "T", "type": {"primary": "Dataset", "secondary": ["Collision"]}}
    assert filled({**said, "experiment": ["CMS"], "distribution": {"formats": ["root"]}}) == {
        "resource_type": {"id": "dataset"}, "title": "T", "recid": 5500, "file_types": ["root", "json"],
        "identifiers": [{"identifier": "https://opendata.cern.ch/record/5500", "scheme": "url"}],
        "experiment": "CMS", "dataset_type": "collision",
    }  # fmt: skip


GEV, RANGE = {"energy_min": 181, "energy_max": 210}, {"energy_min": 900, "energy_max": 2360}
TABLE = [
    ("title", {"title": "  A title\n"}, "A title"),
    ("title", {"title": ["One", "Two"]}, "One"),
    ("title", {"title": {"en": "One"}}, None),
    ("title", {"title": 7}, None),
    ("title", {"title": " "}, None),
    ("title", {"title": "half \ud800"}, "half ?"),
    ("publisher", {"publisher": []}, None),
    ("publication_date", {"date_published": "2024-05-06"}, "2024"),
    ("publication_date", {"date_published": 2024}, "2024"),
    ("publication_date", {"date_published": ["no year", "2019"]}, "2019"),
    ("publication_date", {"date_published": "soon"}, None),
    ("publication_date", {"date_published": "20244"}, None),
    ("publication_date", {"date_published": True}, None),
    ("recid", {"recid": 5500}, 5500),
    ("recid", {"recid": "cms-8886"}, "cms-8886"),
    ("recid", {"id": "77", "metadata": {}}, "77"),
    ("recid", {"recid": "../x"}, None),
    ("recid", {"recid": True}, None),
    ("recid", {"recid": 10**30}, None),
    ("description", {"abstract": {"description": "<p>An <b>abstract</b></p>"}}, "<p>An <b>abstract</b></p>"),
    ("description", {"methodology": {"description": "Made so."}, "abstract": []}, "Made so."),
    ("description", {"methodology": "Made so."}, None),
    ("creators", {"collaboration": {"name": "", "recid": "451"}}, None),
    ("creators", {"collaboration": "CMS"}, None),
    ("file_types", {"distribution": {"formats": ["AOD", "root", "aod", 7]}}, ["aod", "root", "json"]),
    ("file_types", {"distribution": {"formats": "CSV"}}, ["csv", "json"]),
    ("file_types", {"distribution": {"formats": ["json"]}}, ["json"]),
    ("file_types", {"distribution": {"formats": []}}, None),
    ("subjects", {"categories": {"primary": "2 Fermion"}}, [{"subject": "2 Fermion"}]),
    ("subjects", {"categories": {"primary": "A"}, "collections": ["A", "B"]}, [{"subject": "A"}, {"subject": "B"}]),
    ("subjects", {"collections": [None, {}]}, None),
    ("rights", {"license": {"attribution": "CC0"}}, [{"id": "cc0-1.0"}]),
    ("rights", {"license": {"attribution": "cc0-1.0"}}, [{"id": "cc0-1.0"}]),
    ("rights", {"license": {"attribution": "GPL-3.0-only"}}, None),
    ("rights", {"license": "CC0-1.0"}, None),
    ("identifiers", {"recid": 7}, [{"identifier": "https://opendata.cern.ch/record/7", "scheme": "url"}]),
    ("identifiers", {"recid": "a/../b"}, None),
    ("dates", {"date_created": ["1997", "1998"]}, [{"date": "1997", "type": {"id": "created"}}]),
    ("dates", {"date_created": "2011-06-03"}, [{"date": "2011", "type": {"id": "created"}}]),
    ("dates", {"date_created": []}, None),
    ("experiment", {"experiment": "DELPHI"}, "DELPHI"),
    ("experiment", {"experiment": ["CMS", "ATLAS"]}, "CMS"),
    ("experiment", {"experiment": []}, None),
    ("collision_information", {"collision_information": {"energy": "181–210 GeV"}}, {"energy": "181–210 GeV", **GEV}),
    ("collision_information", {"collision_information": {"energy": ["181-210GeV"]}}, {"energy": "181-210GeV", **GEV}),
    ("collision_information", {"collision_information": {"energy": "210-181 GeV"}}, {"energy": "210-181 GeV", **GEV}),
    (
        "collision_information",
        {"collision_information": {"energy": "900 GeV to 2.36 TeV", "type": "pp"}},
        {"type": "pp", "energy": "900 GeV to 2.36 TeV", **RANGE},
    ),
    (
        "collision_information",
        {"collision_information": {"energy": "7TeV"}},
        {"energy": "7TeV", "energy_min": 7000, "energy_max": 7000},
    ),
    (
        "collision_information",
        {"collision_information": {"energy": "91.2"}},  # of which unit?
        {"energy": "91.2"},
    ),
    ("collision_information", {"collision_information": {"type": "PbPb"}}, {"type": "PbPb"}),
    ("collision_information", {"collision_information": "e+e-"}, None),
    (
        "collision_information",
        {"abstract": {"description": "done at ecms=191.6 , CERN"}},
        {"energy": "191.6 GeV", "energy_min": 191.6, "energy_max": 191.6},
    ),
    (
        "collision_information",
        {"abstract": {"description": "ECMS = 0.2TeV"}},
        {"energy": "0.2 TeV", "energy_min": 200, "energy_max": 200},
    ),
    ("collision_information", {"abstract": {"description": "ecms=?"}}, None),
    ("category", {"categories": {"primary": "2 Fermion"}}, {"id": "2-fermion"}),
    ("category", {"categories": {"primary": ["Higgs"]}}, {"id": "higgs"}),
    ("category", {"categories": {"primary": "?"}}, None),
    ("dataset_type", {"type": {"secondary": ["Collision"]}}, "collision"),
    ("dataset_type", {"type": {"secondary": "Simulated"}}, "simulated"),
    ("dataset_type", {"type": {"secondary": ["Derived", "Simulated"]}}, "simulated"),
    ("dataset_type", {"type": {"secondary": ["Collision", "Simulated"]}}, None),
    ("dataset_type", {"type": "Dataset"}, None),
    ("number_of_events", {"distribution": {"number_events": 0}}, 0),
    ("number_of_events", {"distribution": {"number_events": "2000"}}, None),
    ("number_of_events", {"distribution": {"number_events": -1}}, None),
    ("number_of_events", {"distribution": {"number_events": True}}, None),
    ("resource_type", {"type": {"primary": "Software"}}, {"id": "software"}),
    ("resource_type", {"type": {"primary": "Glossary"}}, None),
]  # fmt: skip


@pytest.mark.parametrize(("field", "source", "value"), TABLE)
def test_a_field_is_filled_from_what_is_there_or_absent(field, source, value):
    body = filled(source)
    assert body.get(field) == value and (field in body) is (value is not None)
    assert (field in missing_in({"metadata": body})) is (value is None)


def test_a_part_of_a_field_that_is_missing_is_named_alone():
    body = cern_to_delphi({"collision_information": {"energy": "13 TeV"}}, "1")
    assert [name for name in missing_in(body) if "collision" in name] == ["collision_information.type"]


@pytest.mark.parametrize(
    ("files", "types"),
    [(["record.json", "1_bundle.zip"], ["al", "json", "zip"]), (["record.json", "a.al"], ["al", "json"])],
)
def test_the_files_that_are_sent_say_whether_there_is_a_zip(files, types):
    assert filled({"distribution": {"formats": ["al"]}}, files)["file_types"] == types


def test_records_come_in_the_order_of_their_types():
    types = [{}, {"type": {"primary": "Software"}}, {"type": {"secondary": ["Simulated"]}}, SOURCE]
    types += [{"type": {"primary": "Dataset", "secondary": ["Collision"]}}, {"type": 7}]
    assert [order(source, "1") for source in types] == [3, 2, 1, 1, 0, 3]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.just("7 TeV"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = sorted({*SOURCE["metadata"], "metadata", "id"})
PARTS = sorted({key for value in SOURCE["metadata"].values() if isinstance(value, dict) for key in value})


@pytest.mark.long
@pytest.mark.slow
@PROPERTY
@given(st.dictionaries(st.sampled_from(NAMES), JSON | st.dictionaries(st.sampled_from(PARTS), JSON), max_size=8))
def test_no_object_makes_it_fail(source):
    body = cern_to_delphi(source, "1")
    assert not doubt_in(body) and json.loads(json.dumps(body, allow_nan=False)) == body
    assert set(body["metadata"]) <= set(BODY) and order(source, "1") in range(4)
    assert {*body["metadata"], *(name.partition(".")[0] for name in missing_in(body))} == set(BODY)
