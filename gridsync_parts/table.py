"""The table of settings: a field for each key of Grid.conf, with all that there is to say of the key beside it.

Checks, options, Grid.conf, hints and the pages for users are made of these rows; tools/pages.py writes them anew.
"""

# Annotations are values here, so they must not be put off as in other parts.
import os
import re
from typing import Annotated, Any, Callable, NamedTuple

from gridsync_parts.errors import UsageError, brief
from gridsync_parts.words import bare, grid_path, has_scheme, is_url

NUMBER = "[0-9]{1,6}"
# A password, or a user name where the credential has the name.
PASSWORD = r"(?i)//[^/]*:[^/]*@|^(https?|davs?)://[^/]*@"


class Form(NamedTuple):
    """What the value of a key may be."""

    said: str  # to users
    read: Callable[[str], Any] = str  # the value that a text means; ValueError, perhaps with the reason, if none
    kept: Callable[[str, str], str] = lambda text, folder: text  # what Grid.conf has of a text of the command line


def number(least: int = 1) -> Form:
    """A whole number."""

    def read(text: str) -> int:
        if not re.fullmatch(NUMBER, text) or int(text) < least:
            raise ValueError
        return int(text)

    return Form(f"a whole number, {least} or more", read)


def url_in(text: str) -> str:
    """The URL that a text is, without its last slash."""
    url = text.rstrip("/")
    if re.search(PASSWORD, url):
        raise ValueError("contains a password or an unused user name; remove it")
    if not is_url(url):
        raise ValueError(f"is {url!r}; expected a URL like https://door.example.org:2880/")
    return url


def issuer_in(text: str) -> str:
    """The URL of who gives out tokens, as it stands; in its tokens a slash at the end counts."""
    if text and url_in(text) and not text.startswith("https://"):
        raise ValueError(f"is {text!r}; it must be an https URL, as secrets go there")
    return text


def tape_url_in(text: str) -> str:
    """A URL, or one of the words that stand for one."""
    if text not in ("auto", "none"):
        url_in(text)
    return text


def output_dir_kept(text: str, folder: str) -> str:
    """A folder of this machine as it is called from the work folder."""
    path = os.path.expanduser(text)
    if os.path.samefile(folder, os.curdir):
        return path
    return os.path.abspath(path).rstrip("/") + "/" * path.endswith("/")


def credential_in(text: str) -> str:
    """What a site may be shown."""
    if text not in ("auto", "proxy", "token", "none"):
        raise ValueError
    return text


def carrier_in(text: str) -> str:
    """How the bytes of a portal come."""
    if text not in ("https", "root"):
        raise ValueError
    return text


TEXT = Form("text")
SITE = Form("the name of a site")
URL = Form("a URL", url_in)
ISSUER = Form("an https URL", issuer_in)
TAPE_API = Form("auto, none or a URL", tape_url_in)
SITE_PATH = Form("a path at the site", grid_path)
# A URL of the site is taken for the path that it means, where the sites are known; a search of a portal has its own
# slashes.
INPUT_DIR = Form(
    "a path at the site",
    kept=lambda text, folder: text.strip() if has_scheme(text) or "?" in text else grid_path(text) or "/",
)
OUTPUT_DIR = Form("a folder", kept=output_dir_kept)
CA_DIR = Form("a folder or a file", os.path.expanduser)
TAPE_BASE = Form("a path", lambda text: text.rstrip("/"))
PATTERNS = Form("regular expressions", kept=lambda text, folder: "" if text == "none" else text)
ENGINE = Form("auto or a kind of site")
TOKEN = Form("env:NAME, file:PATH, cmd:COMMAND or oidc:ACCOUNT")
def command_in(text: str) -> str:
    """A command, whose words can be told."""
    import shlex

    try:
        return text if shlex.split(text) else ""
    except ValueError as error:
        raise ValueError(f"is no command ({error}); correct its quotes") from error


def hook_in(text: str) -> str:
    """A function in a file, or a name that stands for one."""
    if text and not re.fullmatch(r"[^\n]+\.py:[^\W\d]\w*|[^\W\d]\w*", text):
        raise ValueError
    return text


COMMAND = Form("a command", command_in)
HOOK = Form("FILE.py:function or cern_to_delphi", hook_in)
CARRIER = Form("https or root", carrier_in)
CREDENTIAL = Form("auto, proxy, token or none", credential_in)


class Key(NamedTuple):
    """A row of the table."""

    name: str
    help: str  # the comment in Grid.conf
    form: Form = TEXT
    example: str = ""  # of a key that not every site has
    option: str = ""  # of the command line, which is remembered,
    metavar: str = ""
    meaning: str = ""  # and the help of that
    default: Any = ""

    def read(self, text: str) -> Any:
        """The value that a text in Grid.conf means; ValueError with what is wrong, if it means none."""
        try:
            return self.form.read(text or str(self.default))
        except ValueError as error:
            raise ValueError(str(error) or f"is {brief(repr(text))}; expected {self.form.said}") from error

    def kept(self, text: str, folder: str) -> str:
        """What Grid.conf is to have of a value that the command line gives."""
        if not text:
            raise UsageError(f"--{self.option} is empty; give it a value, / for all folders or none for no pattern")
        value = self.form.kept(text, folder)
        try:
            self.read(value)
        except ValueError as error:
            raise UsageError(f"--{self.option} {error}") from error
        fault = "" if value.isprintable() else "it contains a control character"
        if value != value.strip():
            fault = fault or "Grid.conf keeps no blanks around it; remove them"
        if fault:
            shown = bare(value) if "://" in value else value
            raise UsageError(f"{shown!r} cannot be a value of {self.name}: {fault}")
        return value


class Site(NamedTuple):
    """A section of Grid.conf."""

    name: str
    server: Annotated[str, Key("SERVER", "the door: scheme, host and port", URL)]
    base: Annotated[str, Key("BASE_DIR_ON_GRID", "the folder below which all paths begin", SITE_PATH)] = ""
    engine: Annotated[str, Key(
        "ENGINE", "how gridsync talks to it: auto (by the scheme of SERVER), http, gfal2, ssh, ftps, hub, "
        "opendata or invenio; the last three are never guessed. gfal2 follows redirects on its own and shows your "
        "proxy to every host they lead to",
        ENGINE, "gfal2",
    )] = "auto"
    tape_api: Annotated[str, Key(
        "TAPE_API", "none: the site has no tape; or the URL of its Tape REST API, if /.well-known/wlcg-tape-rest-api "
        "is wrong", TAPE_API, "none",
    )] = "auto"
    tape_base: Annotated[str, Key(
        "TAPE_BASE", "prefix of paths at the tape service, if its root is not that of the door", TAPE_BASE, "/pnfs",
    )] = ""
    ca_dir: Annotated[str, Key(
        "CA_DIR", "certificates of the CAs, a folder or one PEM file (else X509_CERT_DIR, then "
        "/etc/grid-security/certificates, then the system's)", CA_DIR, "folder",
    )] = ""
    token: Annotated[str, Key(
        "TOKEN", "a bearer token instead of a proxy: env:NAME, file:PATH, cmd:COMMAND or oidc:ACCOUNT (of oidc-agent) "
        "tells where to get it", TOKEN, "env:NAME",
    )] = ""
    first_byte: Annotated[int, Key(
        "FIRST_BYTE", "seconds to wait for the first byte of an answer", number(), "300",
    )] = 300
    silence: Annotated[int, Key("SILENCE", "seconds to wait between bytes", number(), "120")] = 120
    min_rate: Annotated[int, Key(
        "MIN_RATE", "give up an answer that brings fewer bytes a second, over a minute or SILENCE; 0: never give up",
        number(least=0), "100",
    )] = 100
    credential: Annotated[str, Key(
        "CREDENTIAL", "what it is shown: auto (TOKEN, else a proxy that X509_USER_PROXY names, else a token that lies "
        "where WLCG puts it, else your proxy), proxy, token or none", CREDENTIAL, "none",
    )] = "auto"
    bytes_by: Annotated[str, Key(
        "BYTES", "with ENGINE = opendata, how bytes come: https, or root (from where they lie, through gfal2)", CARRIER,
        "root",
    )] = "https"
    model: Annotated[str, Key(
        "MODEL", "with ENGINE = invenio, the kind of records that --put makes, where there are several of them",
        example="particles",
    )] = ""
    metadata_hook: Annotated[str, Key(
        "METADATA_HOOK", "what makes the metadata of records: FILE.py:function, or "
        "cern_to_delphi", HOOK, "cern_to_delphi",
    )] = ""
    zip_above: Annotated[int, Key(
        "ZIP_ABOVE", "with more files than that, a record gets a zip of them; 0: never", number(least=0), "20",
    )] = 20
    zip_workers: Annotated[int, Key("ZIP_WORKERS", "zips that are built at once", number(), "2")] = 2
    weight: Annotated[int, Key(
        "WEIGHT", "how much a repository is sent at once: a file sent whole counts 1, one in parts 5", number(least=5),
        "50",
    )] = 50
    per_minute: Annotated[int, Key(
        "PER_MINUTE", "requests a minute that a repository takes; 0: any number", number(least=0), "500",
    )] = 500
    per_hour: Annotated[int, Key("PER_HOUR", "and an hour", number(least=0), "5000")] = 5000
    max_files: Annotated[int, Key(
        "MAX_FILES", "files that a record of a repository may have; 0: any number", number(least=0), "100",
    )] = 100
    issuer: Annotated[str, Key(
        "ISSUER", "who gives out its tokens: --new_token logs you in there", ISSUER, "https://iam.example.org/",
    )] = ""
    client_id: Annotated[str, Key("CLIENT_ID", "the client of --new_token, registered at ISSUER", example="ID")] = ""
    scope: Annotated[str, Key(
        "SCOPE", "what --new_token asks ISSUER for", example="openid offline_access",
    )] = "openid offline_access storage.read:/ storage.stage:/ storage.create:/ storage.modify:/"


class Settings(NamedTuple):
    """Grid.conf and the command line together."""

    site: Annotated[Site, Key(
        "SITE", "The site to read from: the name of a section below.", SITE, default="LYON",
        option="from", metavar="SITE", meaning="download data from any site; --from=list prints them",
    )]
    input_dir: Annotated[str, Key(
        "INPUTDIR", "The folder to fetch, below BASE_DIR_ON_GRID, / for all; at a portal: records.", INPUT_DIR,
        option="input_dir", metavar="path", meaning="copy grid data from distant path",
    )] = ""
    output_dir: Annotated[str, Key(
        "OUTPUTDIR", "Where the files go; at first /data/, if that can be written to.", OUTPUT_DIR,
        option="output_dir", metavar="path", meaning="copy grid data into local path",
    )] = "./data/"
    include: Annotated[str, Key(
        "INCLUDE", 'Python regular expressions separated by ":", tried on each path.', PATTERNS,
        option="inc", metavar="patt", meaning=(
            'include patterns separated by ":"; only include files matching these patterns (use none to reset)\n'
            "(check https://regexone.com/references/python for Python regex format)"
        ),
    )] = ""
    exclude: Annotated[str, Key(
        "EXCLUDE", "The same, for files that are left out.", PATTERNS,
        option="exc", metavar="patt",
        meaning='exclude patterns separated by ":"; skip files containing these patterns (use none to reset)',
    )] = ""
    threads: Annotated[int, Key(
        "THREADS", "Files copied at once.", number(),
        option="threads", metavar="N", meaning="number of threads to use for parallel downloads (default: 4)",
    )] = 4
    streams: Annotated[int, Key(
        "STREAMS", "Parallel streams for each large file.", number(),
        option="streams", metavar="N", meaning="number of simultaneous streams per file (default: 1)",
    )] = 1
    vo: Annotated[str, Key("VO", "Your virtual organisation.")] = "vo.agata.org"
    proxy_hours: Annotated[int, Key("PROXY_HOURS", "Hours that a new proxy lasts.", number())] = 72
    pin_days: Annotated[int, Key("PIN_DAYS", "Days that staged files stay on disk at the site.", number())] = 7
    retries: Annotated[int, Key("RETRIES", "Further attempts after a temporary failure.", number(least=0))] = 4
    on_done: Annotated[str, Key(
        "ON_DONE", "A command for each verified file that comes; its path is the last word.", COMMAND,
    )] = ""


def keys_of(values: Any) -> dict[str, Key]:
    """The keys of what fills such values, by their names, in the order of the fields."""
    notes = {field: getattr(note, "__metadata__", ()) for field, note in values.__annotations__.items()}
    defaults = values._field_defaults
    keys = [key._replace(default=defaults.get(field, key.default)) for field, note in notes.items() for key in note]
    return {key.name: key for key in keys}


GENERAL = "gridsync"  # the section that is no site
GENERAL_KEYS, SITE_KEYS = keys_of(Settings), keys_of(Site)
