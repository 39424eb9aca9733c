"""gridsync.py keeps its shape: the sections that its header lists, each using only what stands above it."""

from __future__ import annotations

import ast
import re
import symtable
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

SOURCE = (Path(__file__).parent.parent / "gridsync.py").read_text(encoding="utf-8")
LINES = SOURCE.splitlines()
TREE = ast.parse(SOURCE)
NODES = list(ast.walk(TREE))
FUNCTIONS = [node for node in NODES if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
BANNERS = {at: line.strip("#= ") for at, line in enumerate(LINES, 1) if re.match("# =+ ", line)}


def section(node: ast.AST) -> str:
    return next((name for at, name in reversed(BANNERS.items()) if at <= node.lineno), "Header")


def imported(node: ast.AST) -> set[str]:
    """The packages that an import statement names; none for any other node."""
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    names += [node.module] if isinstance(node, ast.ImportFrom) else []
    return {name.split(".")[0] for name in names}


def module_names(scope: symtable.SymbolTable) -> Iterator[str]:
    """The names of the module that a function or class uses; annotations do not count, they are never evaluated."""
    yield from (symbol.get_name() for symbol in scope.get_symbols() if symbol.is_global() and symbol.is_referenced())
    for inner in scope.get_children():
        yield from module_names(inner)


def expect_none(faults: Iterable[str | ast.AST]) -> None:
    """Fail with all faults, a line each; a node is shown by its place."""
    found = [at if isinstance(at, str) else f"{section(at)}: {at.lineno}: {LINES[at.lineno - 1]}" for at in faults]
    assert not found, "\n".join(["", *found])


def test_the_header_lists_the_sections_in_their_order():
    listing = re.split(r"\n(?=\S)", ast.get_docstring(TREE).split("\nSections", 1)[1])[0]
    assert re.findall(r"^  (\S+(?: \S+)*)  +\S", listing, re.MULTILINE) == list(BANNERS.values())


def test_banners_look_alike():
    width = max(len(LINES[at - 1]) for at in BANNERS)
    expect_none(LINES[at - 1] for at, name in BANNERS.items() if LINES[at - 1] != f"# == {name} ".ljust(width, "="))


def test_nothing_is_used_above_its_definition():
    # Outside functions Python itself would fail, at the import; inside them it would not notice.
    defined: dict[str, int] = {}
    for node in TREE.body:
        stored = [name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)]
        for name in [node.name] if hasattr(node, "name") else stored:
            defined.setdefault(name, node.lineno)
    scopes = symtable.symtable(SOURCE, "gridsync.py", "exec").get_children()
    uses = sorted({(scope.get_lineno(), scope.get_name(), name) for scope in scopes for name in module_names(scope)})
    early = [(user, name) for at, user, name in uses if defined.get(name, 0) > at and name != user]
    expect_none(f"{user} uses {name}, which comes later, in line {defined[name]}" for user, name in early)


def test_only_report_and_the_command_line_print():
    write = r"(print|sys\.(__)?std(out|err)(__)?(\.buffer)?\.write(lines)?)$"
    calls = [node for node in NODES if isinstance(node, ast.Call) and re.match(write, ast.unparse(node.func))]
    # In the Header an older Python reads which one it should be; it would come no further.
    expect_none(call for call in calls if section(call) not in ("Header", "Report", "Command line"))


def test_gfal2_and_optparse_stay_in_their_sections():
    expect_none(node for node in NODES if "gfal2" in imported(node) and section(node) != "gfal2")
    parsing = [node for node in NODES if isinstance(node, ast.Name) and node.id == "optparse"]
    parsing += [node for node in NODES if isinstance(node, ast.ImportFrom) and node.module == "optparse"]
    expect_none(node for node in parsing if section(node) != "Command line")


def test_other_peoples_modules_are_imported_late():
    for_types = [node for node in TREE.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    late = {node for part in [*FUNCTIONS, *for_types] for node in ast.walk(part)}
    expect_none(node for node in NODES if imported(node) - sys.stdlib_module_names and node not in late)


def test_functions_sections_and_the_file_stay_short():
    ends = [*BANNERS, len(LINES) + 1][1:]
    sections = [(name, end - at) for (at, name), end in zip(BANNERS.items(), ends)]
    expect_none(f"{node.name} is too long" for node in FUNCTIONS if node.end_lineno - node.lineno >= 60)
    expect_none(f"section {name} has {lines} lines" for name, lines in sections if lines > 950)
    assert len(LINES) <= 8100
