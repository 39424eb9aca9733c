"""curl, as a user of the grid."""

from __future__ import annotations

import subprocess

from tests.grid import Grid

PROPFIND = """\
<D:propfind xmlns:D="DAV:" xmlns:s="http://srm.lbl.gov/StorageResourceManager" \
xmlns:c="http://www.dcache.org/2013/webdav"><D:prop><D:resourcetype/><D:getcontentlength/><D:getlastmodified/>\
<s:FileLocality/><c:Checksums/></D:prop></D:propfind>"""


def curl(grid: Grid, *words: str, proxy: str = "good") -> tuple[int, bytes, dict[str, str]]:
    """curl as a user of the grid: status, body and headers of the last answer."""
    mine = str(grid.pki.proxy(proxy))
    command = ["curl", "-sS", "-i", "--capath", grid.env["X509_CERT_DIR"], "--cert", mine, "--key", mine, *words]
    run = subprocess.run(command, env=grid.env, capture_output=True, timeout=30)
    if run.returncode:
        return 0, run.stderr, {}
    body = run.stdout
    while body.startswith(b"HTTP/"):
        head, _, body = body.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return int(lines[0].split()[1]), body, headers
