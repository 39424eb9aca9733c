#!/usr/bin/python3
"""Make of README.md and the other pages a website, in which nothing comes from elsewhere: make site.

    tools/site.py [build/site]

A link or an anchor that leads nowhere ends it with an error. Links to other hosts are not followed, but listed in
links.txt, and an address that is none is an error, too. The Python that runs this has what tools/site.txt lists.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

TOP = Path(__file__).resolve().parents[1]
# In the order in which one reads them.
PAGES = {
    "First steps": "install certificate first-hour words trouble container",
    "What you can do": "recipes open-data repositories metadata site-to-site workers stats python ctadata other-tools",
    "Reference": "options man exit-status catalog doors",
    "What it can": "reliability performance scale ../bench/RESULTS ../bench/README",
    "For developers": "../CONTRIBUTING ../CHANGELOG",
}
OUTSIDE = re.compile(r"(?:\]\(|<)(https?:[^)>\s]*)[)>]")
HOST = re.compile(r"[a-z0-9-]+([.][a-z0-9-]+)+")
FILES = ("Grid.conf.example", "docs/transfers.ipynb", "docs/run.svg", "docs/report.png", "docs/notebook.png")
CONF = """\
project = "gridsync"
extensions = ["myst_parser"]
root_doc = "index"
html_theme = "furo"
html_title = "gridsync {version}"
html_show_copyright = False
html_copy_source = False
html_extra_path = ["extra"]
exclude_patterns = ["extra"]
highlight_language = "none"  # lines to type are no Python
myst_heading_anchors = 4
"""


def contents() -> str:
    """The order of the pages, for the front page."""
    text = ""
    for title, names in PAGES.items():
        paths = "\n".join(os.path.normpath(f"docs/{name}") for name in names.split())
        text += f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{paths}\n```\n"
    return text


def man() -> str:
    """The manual page, as a terminal shows it."""
    command = ["groff", "-man", "-Tutf8", "-P-cbou", "gridsync.1"]
    shown = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, text=True, check=True).stdout
    return f"# The manual page\n\n```text\n{shown.strip()}\n```\n"


def stage(folder: Path) -> dict[str, str]:
    """Lay the pages out as they are here; the text of each by its path."""
    texts = {"docs/man.md": man()}
    for path in [*TOP.glob("*.md"), *TOP.glob("docs/*.md"), *TOP.glob("bench/*.md")]:
        text = path.read_text(encoding="utf-8").replace("](../README.md", "](../index.md")
        texts[str(path.relative_to(TOP))] = text
    texts["index.md"] = texts.pop("README.md") + contents()
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for name in FILES:
        shutil.copy(TOP / name, folder / name)
    return texts


def outside(texts: dict[str, str]) -> str:
    """The links to other hosts, a line each; an error if one is no address."""
    links = {link for text in texts.values() for link in OUTSIDE.findall(text)}
    for link in links:
        if not HOST.fullmatch(urlsplit(link).hostname or ""):
            raise SystemExit(f"{link} is no address")
    return "".join(f"{link}\n" for link in sorted(links))


def main(target: Path) -> int:
    version = re.findall('__version__ = "(.*)"', (TOP / "gridsync_parts/__init__.py").read_text(encoding="utf-8"))[0]
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source"
        texts = stage(source)
        (source / "extra").mkdir()
        (source / "extra/links.txt").write_text(outside(texts))
        (source / "conf.py").write_text(CONF.format(version=version))
        strict = ["-q", "-W", "--keep-going", "-n", "-d", f"{scratch}/doctrees"]
        done = subprocess.run([sys.executable, "-m", "sphinx", *strict, source, target], check=False)
    print("The website has faults, see above." if done.returncode else target / "index.html")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else TOP / "build/site"))
