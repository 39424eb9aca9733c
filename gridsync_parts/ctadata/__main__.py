"""python3 -m gridsync_parts.ctadata: the lines that cta-data has."""

from __future__ import annotations

from gridsync_parts.ctadata import VERBS, upload_personal_certificate, upload_shared_certificate
from gridsync_parts.ctadata.shell import More, script

PERSONAL = ("local_cert_path", "certificate_key", "--user")
MORE = (
    More("upload-personal-certificate", "have the hub keep your proxy", PERSONAL, upload_personal_certificate),
    More("upload-shared-certificate", "have it keep one for all", PERSONAL[:1], upload_shared_certificate),
)

if __name__ == "__main__":
    script(VERBS, "gridsync_parts.ctadata", MORE)
