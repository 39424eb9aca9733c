"""The one way for tests to give a constant another value: in whatever module has it, and an error where none does."""

from __future__ import annotations

import builtins
import importlib
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

from gridsync_parts.pace import Pace
from tests.support import TOP

if TYPE_CHECKING:
    import pytest


@cache
def all_modules() -> list[ModuleType]:
    """The script and its parts, loaded."""
    paths = [path.relative_to(TOP).with_suffix("") for path in (TOP / "gridsync_parts").rglob("*.py")]
    names = [".".join(path.parts).removesuffix(".__init__") for path in paths if path.name != "fs.py"]  # needs fsspec
    return [importlib.import_module(name) for name in ["gridsync", *names]]


def is_number(value: object) -> bool:
    """Whether it is one, of whatever type."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def holders(name: str, value: object = None) -> list[ModuleType]:
    """The modules that have a name, their own or from another one; for a number those where it is one, if it is."""
    found = [module for module in all_modules() if hasattr(module, name)]
    assert found, f"gridsync has no {name}"
    numbers = [module for module in found if is_number(getattr(module, name))]
    return numbers if numbers and is_number(value) else found


class Values(dict[str, object]):
    """New values; the others are those that gridsync has."""

    def __missing__(self, name: str) -> object:
        if hasattr(builtins, name):
            raise KeyError(name)
        return getattr(holders(name)[0], name)


def replace(patch: pytest.MonkeyPatch, name: str, value: object) -> None:
    """Give it another value for a test."""
    for module in holders(name, value):
        patch.setattr(module, name, value)


def change(text: str) -> None:
    """Give some other values to the rest of a process: "CHUNK = 5; LARGE = CHUNK"; those of Pace by their names."""
    values = Values()
    exec(text, {}, values)
    paces = {name: values.pop(name) for name in list(values) if name in Pace._fields}
    if paces:
        values["PACE"] = values["PACE"]._replace(**paces)
    for name, value in values.items():
        for module in holders(name, value):
            setattr(module, name, value)


def script_with(text: str) -> str:
    """The program, with other values of some constants, for python3 -c."""
    return f"from tests.support.constants import change; change({text!r}); import gridsync; gridsync.script()"
