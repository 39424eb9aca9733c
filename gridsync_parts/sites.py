"""The sites that gridsync knows by itself; Grid.conf gets the section of one when it is first chosen."""

from __future__ import annotations

from typing import NamedTuple

from gridsync_parts.table import Site


class Known(NamedTuple):
    """A site that gridsync knows: the section that it has in Grid.conf."""

    comment: str
    keys: dict[str, str]
    blank: str = ""  # what the user has to write into SERVER

    def lines(self, name: str) -> list[str]:
        """Its section."""
        return [f"[{name}]", f"# {self.comment}", *(f"{key} = {value}" for key, value in self.keys.items())]


KNOWN = {
    "LYON": Known("CC-IN2P3 in Lyon.", {"SERVER": "https://ccdavegee.in2p3.fr:2880/", "BASE_DIR_ON_GRID": "agata/"}),
    "CNAF": Known(
        "A guess: AGATA's manual gives no address for Bologna. Ask your experiment.",
        {"SERVER": "https://xfer-archive.cr.cnaf.infn.it:8443/", "BASE_DIR_ON_GRID": "agata/"},
    ),
    "CTA": Known(
        "CTA's data at CSCS, through the hub. On the hub the token is there already.",
        {
            "SERVER": "https://platform.cta.cscs.ch/services/downloadservice/webdav/",
            "ENGINE": "hub",
            "TOKEN": "env:JUPYTERHUB_API_TOKEN",
        },
    ),
    "CTA_DCACHE": Known(
        "The same without the hub, by oidc-agent. A guess: ask CTA.",
        {"SERVER": "davs://dcache.cta.cscs.ch:2880/", "TOKEN": "oidc:kk-dcache"},
    ),
    "DIAMOND": Known(
        "Diamond's beamlines, by ssh. Write your user name for USER.",
        {"SERVER": "sftp://USER@ssh.diamond.ac.uk/", "BASE_DIR_ON_GRID": "dls/"},
        "your user name for USER",
    ),
    "DESY": Known(
        "DESY's beamlines, once you have registered for FTP in the Gamma Portal.", {"SERVER": "ftps://psftp.desy.de/"}
    ),
    "CERN_OPENDATA": Known("CERN's open data.", {"SERVER": "https://opendata.cern.ch/", "ENGINE": "opendata"}),
    "ZENODO": Known(
        "The repository Zenodo. The token is for uploads and restricted records.",
        {"SERVER": "https://zenodo.org/", "ENGINE": "invenio", "TOKEN": "env:ZENODO_TOKEN"},
    ),
    "NRP": Known(
        "An NRP or Invenio repository. Write its host for REPOSITORY.",
        {"SERVER": "https://REPOSITORY/", "ENGINE": "invenio", "TOKEN": "env:INVENIO_TOKEN"},
        "the host of your repository for REPOSITORY",
    ),
}
SHOWN = ("LYON", "CNAF")  # by a new Grid.conf


def blank_of(site: Site) -> str:
    """What is still to be written into the SERVER of a site; nothing for most."""
    known = KNOWN.get(site.name)
    return known.blank if known and known.blank and site.server == known.keys["SERVER"].rstrip("/") else ""
