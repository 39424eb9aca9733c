"""Corners of the tree: names that are awkward for a shell, a URL, XML or CSV, unprintable ones, a crowded folder."""

from __future__ import annotations

from tests.grid.agata import seconds
from tests.grid.tree import Tree

AWKWARD = "agata/awkward"
UNPRINTABLE = "agata/unprintable"
MANY = "agata/many"

# No two of them may be taken for one: %41 is not A, and the two é, composed and decomposed, are different names.
NAMES = (
    "two words",
    " blank first",
    "blank last ",
    "#1",
    "why?",
    "100%",
    "%41",
    "A",
    "%2Fetc",
    "a+b",
    "a&b",
    "a;b",
    "a=b",
    "a,b",
    "a:b",
    "a|b",
    "<a>",
    "[a]",
    "*",
    "$HOME",
    "it's",
    '"quoted"',
    "back\\slash",
    "~",
    "-rf",
    "--help",
    ".hidden",
    "caf\u00e9",
    "cafe\u0301",
    "\u65e5\u672c\u8a9e",
    "\u00e9" * 100,  # 200 bytes
    "tab\there",
)

# In a folder of their own: what XRootD sends of that is not XML.
CONTROL_NAMES = ("bell\x07", "escape\x1b[31m", "two\nlines", "carriage\rreturn")


def plant_awkward(tree: Tree) -> None:
    """Each name as a file, and in the folder named folders as a folder with a file of that name."""
    time = seconds("2015-06-17 10:00:00")  # after all that the manual shows
    for top, names in ((AWKWARD, NAMES), (UNPRINTABLE, CONTROL_NAMES)):
        for size, name in enumerate(names, 100):
            tree.add(f"{top}/{name}", size, mtime=time)
            tree.add(f"{top}/folders/{name}/{name}", size, mtime=time)
        tree.folder(f"{top}/folders", mtime=time)
        tree.folder(top, mtime=time)


def plant_many(tree: Tree, count: int = 20_000) -> None:
    """So many files in the one folder agata/many."""
    time = seconds("2015-06-18 10:00:00")
    for number in range(count):
        tree.add(f"{MANY}/event_{number:05d}.cdat", 1000 + number, mtime=time)
    tree.folder(MANY, mtime=time)
