"""python3 -m gridsync_parts.ctadata.direct: the lines that cta-data-direct has."""

from __future__ import annotations

from gridsync_parts.ctadata.direct import VERBS
from gridsync_parts.ctadata.shell import script

if __name__ == "__main__":
    script(VERBS, "gridsync_parts.ctadata.direct")
