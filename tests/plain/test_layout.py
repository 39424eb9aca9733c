"""The script and its parts keep their shape: sections and parts as listed, each using only what stands above it."""

from __future__ import annotations

import ast
import re
import subprocess
import symtable
import sys
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import pytest

from gridsync_parts.kinds import KINDS
from tests.support import TOP
from tests.support.constants import change

pytestmark = pytest.mark.slow  # all parts are parsed

SCRIPT, PARTS = TOP / "gridsync.py", TOP / "gridsync_parts"
MAY_PRINT = ("Header", "Report", "Command line", "screen")  # the first of them says that there are no parts
LIMIT = 400  # lines of a part
# What is above a limit all the same, with its number of today, which may only fall: whoever makes one of them smaller
# takes its number down with it.
LONG_CLASSES: dict[str, int] = {}  # above 250 lines
FULL_CLASSES: dict[str, int] = {}  # above 10 attributes
LONG_FUNCTIONS: dict[str, int] = {}  # above 40 lines, each for a reason
SCRIPT_LIMIT = 1850  # lines of the script; it rises for a named feature alone, and never above 2,800


class Module:
    """A file of the program."""

    def __init__(self, path: Path):
        self.name = str(path.relative_to(TOP))
        self.text = path.read_text(encoding="utf-8")
        self.lines = self.text.splitlines()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @cached_property
    def functions(self) -> list[ast.AST]:
        return [node for node in self.nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]

    @cached_property
    def imports(self) -> list[ast.AST]:
        return [node for node in self.nodes if isinstance(node, (ast.Import, ast.ImportFrom))]

    def place(self, node: ast.AST) -> str:
        return f"{self.name}:{node.lineno}: {self.lines[node.lineno - 1]}"


script = Module(SCRIPT)
parts = [Module(path) for path in sorted(PARTS.rglob("*.py"))]
modules = [script, *parts]
BANNERS = {at: line.strip("#= ") for at, line in enumerate(script.lines, 1) if re.match("# =+ ", line)}
LISTED = re.findall(r"(?m)^  (\S+)  +\S", (PARTS / "__init__.py").read_text(encoding="utf-8") if parts else "")
OPENING = "doors/opening"
UNLISTED = {f"doors/{kind.module}" for kind in KINDS} - set(LISTED)  # what opens a kind of site, and is loaded by name


def section(node: ast.AST) -> str:
    """Where in the script it is."""
    return next((name for at, name in reversed(BANNERS.items()) if at <= node.lineno), "Header")


def title(name: str) -> str:
    """A file as the list of the parts calls it."""
    return re.sub(r"^gridsync_parts/|/__init__\.py$|\.py$", "", name)


def room(module: Module, node: ast.AST) -> str:
    """The section of the script, or the part, that something is in."""
    return section(node) if module is script else title(module.name)


def imported(node: ast.AST) -> set[str]:
    """The modules that an import statement names; none for any other node."""
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    names += [node.module] if isinstance(node, ast.ImportFrom) else []
    return set(names)


def tops(node: ast.AST) -> set[str]:
    """The packages of these."""
    return {name.split(".")[0] for name in imported(node)}


def late(module: Module) -> set[ast.AST]:
    """What is not run when a file is loaded: functions, and what is for types alone."""
    for_types = [n for n in module.tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    return {node for part in [*module.functions, *for_types] for node in ast.walk(part)}


def module_names(scope: symtable.SymbolTable) -> Iterator[str]:
    """The names of the module that a function or class uses; annotations do not count, they are never evaluated."""
    yield from (symbol.get_name() for symbol in scope.get_symbols() if symbol.is_global() and symbol.is_referenced())
    for inner in scope.get_children():
        yield from module_names(inner)


def expect_none(faults: Iterable[str]) -> None:
    """Fail with all faults, a line each."""
    found = list(faults)
    assert not found, "\n".join(["", *found])


def test_the_header_lists_the_sections_in_their_order():
    listing = re.split(r"\n(?=\S)", ast.get_docstring(script.tree).split("\nSections", 1)[1])[0]
    assert re.findall(r"^  (\S+(?: \S+)*)  +\S", listing, re.MULTILINE) == list(BANNERS.values())


def test_banners_look_alike():
    width = max(len(script.lines[at - 1]) for at in BANNERS)
    lines = {name: script.lines[at - 1] for at, name in BANNERS.items()}
    expect_none(line for name, line in lines.items() if line != f"# == {name} ".ljust(width, "="))


def early_uses(module: Module) -> Iterator[str]:
    """Outside functions Python itself would fail, at the import; inside them it would not notice."""
    defined: dict[str, int] = {}
    for node in module.tree.body:
        stored = [name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)]
        for name in [node.name] if hasattr(node, "name") else stored:
            defined.setdefault(name, node.lineno)
    scopes = symtable.symtable(module.text, module.name, "exec").get_children()
    uses = sorted({(scope.get_lineno(), scope.get_name(), name) for scope in scopes for name in module_names(scope)})
    early = [(user, name) for at, user, name in uses if defined.get(name, 0) > at and name != user]
    yield from (f"{module.name}: {user} uses {name}, which comes in line {defined[name]}" for user, name in early)


def test_nothing_is_used_above_its_definition():
    expect_none(use for module in modules for use in early_uses(module))


def test_all_parts_are_listed_and_say_what_they_are():
    files = {title(part.name) for part in parts} - {title("gridsync_parts/__init__.py")}
    assert sorted(LISTED) == sorted(files - UNLISTED)
    expect_none(part.name for part in parts if not ast.get_docstring(part.tree))


def test_a_part_uses_parts_above_it_in_the_list_and_not_the_script():
    for part in parts:
        own = title(part.name)
        place = OPENING if own in UNLISTED else own
        above = LISTED[: LISTED.index(place)] if place in LISTED else []
        may = {"gridsync_parts", *("gridsync_parts." + name.replace("/", ".") for name in above)}
        expect_none(
            part.place(node)
            for node in part.imports
            if {name for name in imported(node) if name.split(".")[0] in ("gridsync", "gridsync_parts")} - may
            or (isinstance(node, ast.ImportFrom) and node.level)
        )


def test_help_loads_only_what_the_table_of_options_is_made_of():
    code = "import gridsync, sys\ngridsync.main([])\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-SEc", code], cwd=TOP, capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    parts = {name.partition(".")[2] for name in loaded if name.startswith("gridsync_parts.")}
    assert parts == set(
        "bars conf disk errors kinds log machine screen secrets settings sites table values words".split()
    )
    assert not loaded & {"csv", "dataclasses", "http", "json", "logging", "shlex", "socket", "subprocess", "urllib"}


READING = """
import sys
from gridsync_parts.doors.opening import open_shown
from gridsync_parts.table import Site
place = open_shown(Site("X", "https://localhost:1", "x"), "", None)
before = set(sys.modules)
print(bool(place.writer and place.puller), *before)
place.check_name("a"), place.puller.pull
print(*set(sys.modules) - before)
"""


def test_what_sends_files_is_loaded_when_one_is_sent():
    done = subprocess.run([sys.executable, "-c", READING], cwd=TOP, capture_output=True, text=True, check=True)
    before, later = (set(line.split()) for line in done.stdout.splitlines())
    ours = {f"gridsync_parts.doors.{name}" for name in ("writing", "crossing", "marks", "handed")}
    assert "True" in before and not before & ours and later >= ours


def test_only_report_the_command_line_and_the_screen_print():
    write = r"(print|sys\.(__)?std(out|err)(__)?(\.buffer)?\.write(lines)?)$"
    for module in modules:
        calls = [node for node in module.nodes if isinstance(node, ast.Call)]
        told = [call for call in calls if re.match(write, ast.unparse(call.func))]
        expect_none(module.place(call) for call in told if room(module, call) not in MAY_PRINT)


LIBRARIES = {
    "gfal2": "doors/contexts", "requests": "doors/rest", "urllib3": "doors/rest", "fsspec": "fs",
    "plotly": "report/page",
}  # fmt: skip
LOADED_BY = {"fs": {"fsspec"}}  # parts that only others load, who have these modules


def test_libraries_and_optparse_stay_in_their_places():
    for module in modules:
        expect_none(
            module.place(node)
            for node in module.imports
            if any(name in tops(node) and room(module, node) != place for name, place in LIBRARIES.items())
        )
        parsing = [node for node in module.nodes if isinstance(node, ast.Name) and node.id == "optparse"]
        parsing += [node for node in module.imports if isinstance(node, ast.ImportFrom) and node.module == "optparse"]
        expect_none(module.place(node) for node in parsing if room(module, node) != "Command line")


def test_other_peoples_modules_are_imported_late():
    ours = {*sys.stdlib_module_names, "gridsync_parts"}
    for module in modules:
        not_at_once, early = late(module), ours | LOADED_BY.get(title(module.name), set())
        expect_none(module.place(node) for node in module.imports if tops(node) - early and node not in not_at_once)


def length(node: ast.AST) -> int:
    """How many lines a class or function has."""
    return node.end_lineno - node.lineno + 1


def attributes(cls: ast.ClassDef) -> set[str]:
    """The names that an object is given in its class; fields of plain values do not count."""
    stored = [node for node in ast.walk(cls) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)]
    return {node.attr for node in stored if ast.unparse(node.value) == "self"}


def expect_above(limit: int, sizes: list[tuple[str, int]], listed: dict[str, int]) -> None:
    """Fail unless what is above a limit is what is listed."""
    assert sorted(size for size in sizes if size[1] > limit) == sorted(listed.items())


def test_classes_stay_small():
    classes = [node for module in modules for node in module.nodes if isinstance(node, ast.ClassDef)]
    expect_above(250, [(node.name, length(node)) for node in classes], LONG_CLASSES)
    expect_above(10, [(node.name, len(attributes(node))) for node in classes], FULL_CLASSES)


def test_functions_stay_short():
    expect_above(40, [(node.name, length(node)) for module in modules for node in module.functions], LONG_FUNCTIONS)
    assert max(LONG_FUNCTIONS.values(), default=0) <= 60


def test_files_stay_short():
    expect_none(f"{part.name} has {len(part.lines)} lines" for part in parts if len(part.lines) > LIMIT)
    assert len(script.lines) <= SCRIPT_LIMIT


def test_a_constant_that_nothing_has_can_not_be_given_another_value():
    with pytest.raises(AssertionError, match="gridsync has no NOWHERE"):
        change("NOWHERE = 1")


def imports_of(path: Path, pattern: str) -> list[str]:
    """The import lines of a file that are of such modules."""
    lines = re.findall(rf"(?m)^ *(?:from|import) (?:{pattern})\b.*", path.read_text(encoding="utf-8"))
    return [f"{path}: {line}" for line in lines]


def test_no_test_needs_another():
    for path in (TOP / "tests").rglob("*.py"):
        expect_none(imports_of(path, r"tests\.(?:\w+\.)*test_\w+"))


def test_plain_tests_speak_to_nobody():
    for path in (TOP / "tests/plain").glob("*.py"):
        expect_none(imports_of(path, r"tests\.grid|socket|http|requests|urllib\.request"))
