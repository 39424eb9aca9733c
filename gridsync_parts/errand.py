"""gridsync.py URL DIR: the site and the folder that a URL means, for one run that remembers nothing."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from gridsync_parts.conf import place_of
from gridsync_parts.errors import CredentialError, UsageError, brief
from gridsync_parts.keys.proxy import proxy_file, read_proxy
from gridsync_parts.kinds import SCHEMES, Credential, find_kind, scheme_error
from gridsync_parts.recids import portal_of, word_of
from gridsync_parts.settings import Config
from gridsync_parts.table import GENERAL_KEYS, PASSWORD
from gridsync_parts.words import CONTROL, bare, grid_path, has_scheme, is_url, scheme_of


def check_url(url: str, is_page: bool = False) -> None:
    """Refuse a URL that names no file or folder of a site; a page of a portal may do so behind a ?."""
    shown = brief(bare(url))
    if not is_url(url):
        raise UsageError(f"{shown!r} is not a URL like https://door.example.org:2880/path/of/a/folder")
    if (scheme := scheme_of(url)) not in SCHEMES:
        raise UsageError(f"{shown}: {scheme_error(scheme)}")
    if re.search(PASSWORD, url):
        raise UsageError(f"{shown}: the URL contains a password or an unused user name; remove it")
    if re.search("[?#]", url) and not is_page:
        raise UsageError(f"{shown}: behind it stands ? or #; leave that out, or write %3F or %23 if it is in a name")


def check_words(words: list[str]) -> None:
    """Refuse what is not a URL and a folder of this machine."""
    if len(words) < 2 or not words[1]:
        raise UsageError(f"{brief(bare(words[0]))}: say where to copy it; give a folder behind the URL: URL DIR")
    if has_scheme(words[1]):
        raise UsageError(f"{brief(bare(words[1]))}: is a URL; the second word is a folder of this machine: URL DIR")
    if len(words) > 2:
        raise UsageError(f"{words[2]!r}: unexpected argument behind URL DIR (did you forget to quote a pattern?)")


def nothing_to_show(scheme: str) -> dict[str, str]:
    """The keys of a site whose door has to do without the proxy that it may want, as there is none."""
    kind = find_kind("auto", scheme)
    is_bare = kind and kind.credential in (Credential.ANY, Credential.PROXY) and not os.path.exists(proxy_file())
    return {"CREDENTIAL": "none"} if is_bare else {}


def make_site(config: Config, url: str, folders: list[str], beside: list[str]) -> str:
    """Make a site for this run, with BASE_DIR_ON_GRID above what a URL names; its name, which is that of the folder.

    What else is known of the server, where another site has it, holds for this one.
    """
    parts, base = urlsplit(url), "/".join(folders[:-1])
    user, at, host = parts.netloc.rpartition("@")
    server = f"{parts.scheme}://{user}{at}{host.lower()}/"
    known = config.section(beside[0]) if beside else nothing_to_show(parts.scheme)
    config.made[server + base] = {**known, "SERVER": server, "BASE_DIR_ON_GRID": base}
    return server + base


def find_site(config: Config, url: str, host: str, folders: list[str]) -> tuple[str, list[str]]:
    """The site that a URL belongs to, and the folders below its BASE_DIR_ON_GRID; one is made if there is none."""
    user, chosen = urlsplit(url).username, config.name_of(config.general("SITE", "LYON"))
    fitting, beside = [], []
    for name, (at, top) in config.places().items():
        if at == host and user in (None, urlsplit(config.section(name)["SERVER"]).username):
            beside.append(name)
            if folders[: len(top)] == top:
                fitting.append((len(top), name == chosen, name))
    if fitting:
        depth, _, name = max(fitting)
        return name, folders[depth:]
    return make_site(config, url, folders, beside), folders[-1:]


def vo_of_proxy() -> dict[str, str]:
    """The VO of the user's proxy, as a setting; nothing if there is none."""
    with contextlib.suppress(OSError, ValueError, CredentialError):  # of which is told when it is needed
        if vo := read_proxy(proxy_file()).vo:
            return {"VO": vo}
    return {}


def errand_of(
    words: list[str], actions: list[str], given: Mapping[str, str], config: Config
) -> tuple[dict[str, str], list[str]]:
    """The settings of a line with URL DIR, without the folders and patterns of Grid.conf; and what is to be said."""
    taken = [GENERAL_KEYS[key].option for key in ("SITE", "INPUTDIR", "OUTPUTDIR") if key in given]
    for option in [*(name for name in actions if name not in ("sync", "release", "report")), *taken]:
        raise UsageError(f"URL DIR does what --sync does for that URL and folder; leave out --{option}")
    check_words(words)
    url = words[0].strip()
    sections = {name: config.section(name) for name in config.sites()}
    portal = portal_of(sections, url, config.general("SITE", "LYON")) if is_url(url) else ""
    check_url(url, bool(portal))
    host, folders = place_of(url)
    if re.search(CONTROL, grid_path("/".join(folders))):
        raise UsageError(f"{brief(repr(bare(url)))} has a control character in a name; ask the site to rename it")
    if portal:
        name, folders = portal, [word_of(url, sections[portal].get("ENGINE", ""))]
    else:
        name, folders = find_site(config, url, host, folders)
    folder = "/".join(folders) or "/"
    vo = vo_of_proxy() if name in config.made else {}  # the one in Grid.conf is that of other sites
    is_bare = config.made.get(name, {}).get("CREDENTIAL") == "none"
    remarks = [f"There is no proxy at {proxy_file()}, so the door is shown nothing; --new_proxy makes one"] * is_bare
    output_dir = GENERAL_KEYS["OUTPUTDIR"].form.kept(words[1], config.folder)
    place = {"SITE": name, "INPUTDIR": folder, "OUTPUTDIR": output_dir}
    return {**place, "INCLUDE": "", "EXCLUDE": "", **vo, **given}, remarks
