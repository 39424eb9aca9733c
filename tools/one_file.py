#!/usr/bin/python3
"""Make of gridsync.py and its parts one file that runs wherever it is copied to: make one-file.

    tools/one_file.py [dist/gridsync.py]

It is a zip with a first line for the shell: the sources, and beside each what this Python has compiled, for a quick
start; another Python takes the sources. Made twice by one Python it is the same to the byte. It is there to be run:
nothing beside it could import it by this name.
"""

from __future__ import annotations

import hashlib
import importlib.util
import marshal
import os
import re
import sys
import zipfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
BEGINNING = b"#!/usr/bin/python3\n"
MAIN = "from gridsync import script\n\nscript()\n"
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can hold
# Sets are compiled in the order of their hashes, and strings by who else has them: both are to be the same each time.
ALWAYS = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
VERSION = re.compile(r'(?m)^(__version__ = "[^"]+)"$')


def sources() -> dict[str, bytes]:
    """The files of the program by their names in the zip; the version also says which build it is."""
    paths = [TOP / "gridsync.py", *sorted((TOP / "gridsync_parts").rglob("*.py"))]
    texts = {str(path.relative_to(TOP)): path.read_text(encoding="utf-8") for path in paths}
    build = hashlib.sha256("\0".join([*texts, *texts.values()]).encode()).hexdigest()[:8]
    texts = {name: VERSION.sub(rf'\1+{build}"', text) for name, text in texts.items()}
    return {name: text.encode() for name, text in {**texts, "__main__.py": MAIN}.items()}


def compiled(name: str, source: bytes) -> bytes:
    """A .pyc for a source that Python then need not look at."""
    code = marshal.dumps(compile(source, name, "exec", dont_inherit=True, optimize=0))
    unchecked = (1).to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + unchecked + importlib.util.source_hash(source) + code


def entry(name: str, kind: int) -> zipfile.ZipInfo:
    """A file of the zip, with nothing of today."""
    info = zipfile.ZipInfo(name, LONG_AGO)
    info.compress_type, info.create_system, info.external_attr = kind, 3, 0o644 << 16
    return info


def one_file(path: Path) -> None:
    """Write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    with open(beside, "wb") as file:
        file.write(BEGINNING)
        with zipfile.ZipFile(file, "w") as bundle:
            for name, source in sorted(sources().items()):
                bundle.writestr(entry(name, zipfile.ZIP_DEFLATED), source)
                if name != "__main__.py":
                    bundle.writestr(entry(f"{name}c", zipfile.ZIP_STORED), compiled(name, source))
    beside.chmod(0o755)
    os.replace(beside, path)


if __name__ == "__main__":
    if not sys.flags.no_site:
        others = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        os.execve(sys.executable, [sys.executable, "-s", "-S", *sys.argv], {**others, **ALWAYS})
    one_file(Path(sys.argv[1]) if len(sys.argv) > 1 else TOP / "dist" / "gridsync.py")
