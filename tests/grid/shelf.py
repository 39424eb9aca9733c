"""Twelve records for people to try open data on: the portal's kinds of years, energies, formats and categories, made
small. Their titles and numbers are like the real ones', their bytes are not."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.grid.portal import Portal
from tests.grid.tree import PERIOD, WINDOW

KIB = 1024
CODE = """\
// {name}: selects events with four leptons and fills their mass.
void analyze() {{ /* an example, which the test grid made up */ }}
"""


class Row(NamedTuple):
    """A record: its files are `count` times NAME with a number, of about so many KiB each; tape: "all", "most" (all
    but the last) or "-"; index: are they in one?"""

    recid: str
    year: str
    energy: str
    kind: str
    category: str
    format: str
    events: int
    name: str
    count: int
    size: int
    tape: str
    index: str


KINDS = {"data": "Collision", "simulated": "Simulated", "derived": "Derived"}
CATEGORIES = {
    "higgs": "Higgs Physics", "standard": "Standard Model Physics", "exotic": "Exotica", "ions": "Heavy-Ion Physics",
}  # fmt: skip
TITLES = {
    "cms-14": "/Mu/Run2010B-Apr21ReReco-v1/AOD",
    "cms-16": "/DoubleMu/Run2011A-12Oct2013-v1/AOD",
    "cms-1507": "/SMHiggsToZZTo4L_M-125_7TeV/AODSIM",
    "cms-6004": "/DoubleMuParked/Run2012B-22Jan2013-v1/AOD",
    "cms-12341": "Dimuon events reduced to NanoAOD for outreach",
    "cms-30512": "/SingleMuon/Run2016G-UL2016/NANOAOD",
    "atlas-3824": "One-lepton data at 8 TeV for education",
    "atlas-15006": "Four-lepton data at 13 TeV for education",
    "atlas-80000": "DAOD_PHYSLITE of collisions in 2016",
    "alice-1106": "Lead-lead collisions, ESD of 2010",
    "delphi-80505": "DELPHI short DST of 1998 at 189 GeV",
}
TABLE = """
cms-14       2010 7TeV    data      standard aod     32376291 Mu.root            6  700 most index
cms-16       2011 7TeV    data      higgs    aod     35611202 DoubleMu.root      5  900 -    index
cms-1507     2011 7TeV    simulated higgs    aodsim    299683 ZZTo4L.root        3  600 -    -
cms-6004     2012 8TeV    data      higgs    aod     29308627 Parked.root        4  800 all  -
cms-12341    2012 8TeV    derived   standard nanoaod 61540413 DoubleMuon.root    1 2100 -    -
cms-30512    2016 13TeV   data      exotic   nanoaod 49916849 SingleMuon.root    8  500 -    index
atlas-3824   2012 8TeV    derived   standard root    14945673 DataMuons.root     2 1000 -    -
atlas-15006  2016 13TeV   derived   higgs    root         832 data.4lep.root     4  150 -    -
atlas-80000  2016 13TeV   data      standard root     6294010 DAOD_PHYSLITE.root 6  800 most index
alice-1106   2010 2.76TeV data      ions     esd       121211 AliESDs.root       3  700 -    -
delphi-80505 1998 189GeV  data      standard xsdst     301220 Y13715.al          4  400 -    -
"""
ROWS = [
    Row(*words[:6], int(words[6]), words[7], int(words[8]), int(words[9]), *words[10:])
    for words in map(str.split, TABLE.strip().splitlines())
]


def plant(portal: Portal) -> None:
    """Put the twelve records into a portal."""
    names = ("BuildFile.xml", "HiggsDemoAnalyzer.cc", "M4Lnormdatall.cc", "demoanalyzer_cfg_level3data.py")
    files = {name: CODE.format(name=name).encode() for name in names}
    files["mass4l_combine.png"] = _bytes("mass4l_combine.png", 90 * KIB)
    portal.add(
        "cms-5500", files, aliases=["5500"], doi="10.7483/OPENDATA.CMS.JKB8.RR42",
        at="cms/software/HiggsExample20112012",
        title="Higgs-to-four-lepton analysis example using 2011-2012 data",
        **_about("2012", "8TeV", ("Software", "Analysis"), CATEGORIES["higgs"], "cc", 0),
    )  # fmt: skip
    for row in ROWS:
        _plant(portal, row)


def _plant(portal: Portal, row: Row) -> None:
    experiment, _, number = row.recid.partition("-")
    stem, dot, ending = row.name.partition(".")
    names = [f"{stem}_{i}{dot}{ending}" for i in range(1, row.count + 1)] if row.count > 1 else [row.name]
    files = {name: _bytes(f"{row.recid}/{name}", row.size * KIB + 97 * i) for i, name in enumerate(names)}
    portal.add(
        row.recid, files, aliases=[number], doi=f"10.7483/OPENDATA.{experiment.upper()}.{number}",
        on_demand={"all": names, "most": names[:-1], "-": ()}[row.tape],
        index={f"{experiment.upper()}_{number}_file_index.json": names} if row.index == "index" else {},
        title=TITLES[row.recid], at=f"{experiment}/{row.year}/{number}",
        **_about(row.year, row.energy, ("Dataset", KINDS[row.kind]), CATEGORIES[row.category], row.format, row.events),
    )  # fmt: skip
    if experiment == "delphi":
        about = portal.records[row.recid].metadata
        about.update(accelerator="CERN-LEP", collision_information={"energy": row.energy, "type": "e+e-"})


def _about(year: str, energy: str, kind: tuple[str, str], category: str, form: str, events: int) -> dict[str, Any]:
    """The metadata that the flow of records shows."""
    return {
        "date_created": [year], "date_published": str(max(int(year) + 5, 2014)),
        "collision_information": {"energy": energy, "type": "pp"},
        "type": {"primary": kind[0], "secondary": [kind[1]]}, "categories": {"primary": category},
        "distribution": {"formats": [form], **({"number_events": events} if events else {})},
    }  # fmt: skip


def _bytes(name: str, size: int) -> bytes:
    """As many bytes, of which a name says where in the grid's endless sequence they begin."""
    start = sum(name.encode()) * 257 % PERIOD
    whole = bytes(WINDOW[:PERIOD]) * (size // PERIOD + 2)
    return whole[start : start + size]
