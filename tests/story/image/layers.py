"""What is in an image: the layers with their sizes, and what must not be there."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import IO, NamedTuple

MB = 1000 * 1000  # as engines count
LIMIT = 600 * MB
JAVA = "usr/lib/jvm/"
SECRET = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----\s+(?:Proc-Type:|[A-Za-z0-9+/=]{20})")
PRIVATE = re.compile(r"\.(p12|pfx)$|/(\.globus|x509up|\.git/|\.ssh|\.netrc|grid_summary)|^/(data|root|tmp)/[^.]")
STALE = re.compile(r"etc/grid-security/certificates/.*\.r0$")


class Layer(NamedTuple):
    """One layer of an image."""

    made_by: str
    size: int  # of all its files together
    names: list[str]
    secrets: list[str]  # files that look like one


def layers(path: Path) -> list[Layer]:
    """The layers of a saved image, the base first."""
    with tarfile.open(path) as image:
        (about,) = json.loads(inside(image, "manifest.json").read())
        history = json.loads(inside(image, about["Config"]).read())["history"]
        made = [step.get("created_by", "") for step in history if not step.get("empty_layer")]
        made[0] = "FROM"
        if len(made) != len(about["Layers"]):
            raise SystemExit("the history of the image does not fit its layers")
        return [read(inside(image, name), how) for name, how in zip(about["Layers"], made)]


def inside(image: tarfile.TarFile, name: str) -> IO[bytes]:
    file = image.extractfile(name)
    if not file:
        raise SystemExit(f"the image has no {name}")
    return file


def read(file: IO[bytes], made_by: str) -> Layer:
    size, names, secrets = 0, [], []
    with tarfile.open(fileobj=file) as layer:
        for member in layer:
            name = member.name.lstrip("./")
            names.append(name)
            size += member.size
            if PRIVATE.search(f"/{name}") or (member.isfile() and SECRET.search(text_of(layer, member))):
                secrets.append(name)
    made_by = re.sub(r"^.*/bin/sh -c (#\(nop\) )?|install -y --no-install-recommends", "", re.sub(r"\s+", " ", made_by))
    return Layer(made_by, size, names, secrets)


def text_of(layer: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """What a file says; libraries, of which some test themselves with keys, say nothing."""
    file = layer.extractfile(member)
    begin = file.read(4) if file else b""
    return begin + file.read() if file and begin != b"\x7fELF" else b""


def wrong(image: list[Layer]) -> list[str]:
    """What is not as it should be."""
    found = [f"{name} may be a secret" for layer in image for name in layer.secrets]
    found += [f"{name} will be stale" for layer in image for name in layer.names if STALE.match(name)]
    java = [layer for layer in image if any(name.startswith(JAVA) for name in layer.names)]
    if len(java) != 1 or any("gfal2" in name for name in java[0].names):
        found.append("Java has no layer of its own")
    size = sum(layer.size for layer in image)
    return [*found, f"the image has {size / MB:.0f} MB"] if size > LIMIT else found
