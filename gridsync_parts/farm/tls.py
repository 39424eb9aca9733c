"""Keys for TLS that are made for one run: who has none of them can neither hear nor say anything.

A certificate that is its own CA, and its key; the run, its scheduler and all workers show the same one, and trust no
other. openssl makes it, as it comes with the VOMS clients. It is good for a week: after that no worker can come any
more, nor come back, and the run has to be started again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from typing import NamedTuple

from gridsync_parts.errors import DiskError, UsageError, brief
from gridsync_parts.keys import output_of
from gridsync_parts.secrets import make_printable

DAYS = 7
KIND = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


class Keys(NamedTuple):
    """What those of one run know each other by."""

    folder: str  # which nobody else can enter; it goes with the run
    certificate: str
    key: str

    def remove(self) -> None:
        """Let nobody in any more."""
        shutil.rmtree(self.folder, ignore_errors=True)


def make_keys(above: str | None = None) -> Keys:
    """Keys in a new folder, below another one or that of temporary files."""
    try:
        folder = tempfile.mkdtemp(prefix=".gridsync-keys-", dir=above)
    except OSError as error:
        place = above or tempfile.gettempdir()
        raise DiskError(f"no keys for workers can be written below {place}: {error.strerror}") from error
    keys = Keys(folder, os.path.join(folder, "certificate.pem"), os.path.join(folder, "key.pem"))
    # What openssl writes a key into, nobody else can read; the folder says the same.
    about = ["-x509", "-nodes", "-days", str(DAYS), "-subj", "/CN=gridsync"]
    try:
        output_of(["openssl", "req", *KIND, *about, "-keyout", keys.key, "-out", keys.certificate])
        os.chmod(keys.key, 0o600)
        os.chmod(keys.certificate, 0o600)
        return keys
    except FileNotFoundError:
        fault = "--workers needs openssl, which is not installed; on Debian: apt install openssl"
    except subprocess.TimeoutExpired:
        fault = "openssl does not come to an end making keys for workers; see what holds it up"
    except subprocess.CalledProcessError as error:
        said = make_printable(error.stderr.decode(errors="replace").strip().rpartition("\n")[2])
        fault = f"openssl cannot make keys for workers ({brief(said)}); see that OpenSSL 1.1.1 or newer is installed"
    except BaseException:
        keys.remove()
        raise
    keys.remove()
    raise UsageError(fault)
