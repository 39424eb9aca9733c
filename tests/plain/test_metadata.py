"""Metadata of records: files of JSON that are none, hooks that fail, and what is sent."""

from __future__ import annotations

import json
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from gridsync_parts.delphi import FIELDS
from gridsync_parts.errors import UsageError
from gridsync_parts.metadata import (
    LARGEST,
    LEVELS,
    BadMetadata,
    Filled,
    Hook,
    complaints_text,
    dry_text,
    fill,
    hook_of,
    order_of,
    read_source,
    summed_text,
)  # fmt: skip
from gridsync_parts.secrets import secrets
from tests.support import TOP

PAGE = (TOP / "docs/metadata.md").read_text(encoding="utf-8")
PORTALS = {"$schema": "http://opendata.cern.ch/schema/records/record-v1.0.0.json", "recid": "1", "title": "T"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is no JSON (line 1: Expecting value)"),
        (b'{"a": 1,\n"b": }', "it is no JSON (line 2: Expecting value)"),
        (b"[1]", "it is no JSON object; it must begin with { and end with }"),
        (b'{"a": NaN}', "NaN is no number of JSON"),
        (b'{"a": -Infinity}', "-Infinity is no number of JSON"),
        (b'{"a": [1e999]}', "inf is no number of JSON"),
        (b'{"a": 1' + b"0" * 4200 + b"}", "it has a number of too many digits"),
        (b'{"a": "\xff"}', "it is not UTF-8 (line 1)"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "it has 'c' twice"),
        (b'{"a":' * 99999 + b"1" + b"}" * 99999, f"it is nested more than {LEVELS} levels deep"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, f"it is nested more than {LEVELS} levels deep"),
    ],
)
def test_a_file_that_is_no_metadata(tmp_path: Path, data, reason):
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(BadMetadata) as caught:
        read_source(str(path))
    assert str(caught.value) == f"{path}: its metadata cannot be used: {reason}; correct the file"
    assert caught.value.status == 2


def test_files_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(BadMetadata, match="cannot be read: No such file or directory"):
        read_source(str(tmp_path / "none.json"))
    with pytest.raises(BadMetadata, match="it is not a regular file"):
        read_source(str(tmp_path))
    with open(tmp_path / "large.json", "wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(BadMetadata, match=r"it has more than 64\.0 MB"):
        read_source(str(tmp_path / "large.json"))


def test_a_file_with_the_mark_of_windows_is_read(tmp_path: Path):
    (tmp_path / "a.json").write_text('\ufeff{"title": "Ü"}', encoding="utf-8")
    assert read_source(str(tmp_path / "a.json")) == {"title": "Ü"}


@pytest.mark.parametrize(
    ("source", "body"),
    [
        ({"title": "T"}, {"metadata": {"title": "T"}}),
        ({"metadata": {"title": "T"}, "pids": {}}, {"metadata": {"title": "T"}, "pids": {}}),
        (
            {
                "id": "a-1", "links": {"self": "x"}, "revision_id": 3, "created": "x", "parent": {"id": "b"},
                "pids": {"doi": {}},
                "metadata": {"title": "T"}, "files": {"enabled": True, "count": 2, "entries": {}}, "custom_fields": {},
                "access": {"record": "public", "files": "restricted", "status": "open", "embargo": {"active": False}},
            },
            {
                "metadata": {"title": "T"}, "files": {"enabled": True}, "custom_fields": {},
                "access": {"record": "public", "files": "restricted"},
            },
        ),
        (
            {"id": "a-1", "metadata": {}, "access": {"embargo": {"active": True, "until": "2030-01-01"}}},
            {"metadata": {}, "access": {"embargo": {"active": True, "until": "2030-01-01"}}},
        ),
    ],
)  # fmt: skip
def test_without_a_hook_metadata_go_as_they_are(source, body):
    assert fill(None, source, "one") == Filled(body)


@pytest.mark.parametrize("source", [PORTALS, {"id": "1", "metadata": PORTALS}, {"recid": 1, "distribution": {}}])
def test_a_record_of_the_portal_needs_a_hook(source):
    with pytest.raises(BadMetadata) as caught:
        fill(None, source, "1", "data/1/record.json")
    assert "1: data/1/record.json is a record of the CERN Open Data portal" in str(caught.value)
    assert "set METADATA_HOOK = cern_to_delphi in the section of the site" in str(caught.value)


def test_what_the_built_in_hook_has_made_needs_no_other():
    hook = hook_of("cern_to_delphi", "/", pytest.fail)
    filled = fill(hook, PORTALS, "1", "", ["record.json"])
    assert filled.body["metadata"]["title"] == "T" and "publisher" in filled.missing
    assert fill(None, filled.body, "1").body == fill(None, filled.body["metadata"], "1").body == filled.body
    assert filled.notes("1")[0].startswith("1: its source does not say resource_type, publisher, ")


def made(folder: Path, code: str, function: str = "fill") -> Hook:
    """A hook of the user's; lines are counted from its first."""
    (folder / "mine.py").write_text(textwrap.dedent(code))
    hook = hook_of(f"mine.py:{function}", str(folder), lambda what: None)
    assert hook
    return hook


def test_a_hook_of_the_users_is_loaded_once_and_gets_source_name_and_files(tmp_path: Path):
    hook = made(tmp_path, """\
        from dataclasses import dataclass
        @dataclass
        class Times:
            calls: "int" = 0
        times = Times()
        def fill(source, name, files):
            times.calls += 1
            return {"metadata": {"title": source["title"], "name": name, "files": files, "calls": times.calls}}
        def order(source, name):
            return -len(name)
    """)  # fmt: skip
    assert fill(hook, {"title": "T"}, "one", "", ["a"]).body["metadata"] == {
        "title": "T", "name": "one", "files": ["a"], "calls": 1,
    }  # fmt: skip
    assert fill(hook, {"title": "T"}, "two").body["metadata"]["calls"] == 2
    assert sorted(["a", "bbb", "aaa"], key=lambda name: order_of(hook, {}, name)) == ["aaa", "bbb", "a"]
    assert not (tmp_path / "__pycache__").exists()


def test_the_order_is_that_of_names_where_a_hook_has_none(tmp_path: Path):
    hook = made(tmp_path, "def fill(source, name): return {}")
    for one in (None, hook):
        assert sorted(["b", "a"], key=lambda name: order_of(one, {}, name)) == ["a", "b"]


def test_orders_of_any_kind_can_be_compared(tmp_path: Path):
    hook = made(tmp_path, "def fill(source, name): return {}\ndef order(source, name): return source['key']")
    keys = ["b", 2, [1, "a"], 1.5, ["a", 1], "a"]
    assert sorted(keys, key=lambda key: order_of(hook, {"key": key}, "")) == [1.5, 2, "a", "b", [1, "a"], ["a", 1]]
    with pytest.raises(BadMetadata, match="order returns None, and not a number, a text or several of them"):
        order_of(hook, {"key": None}, "one")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def fill(source, name):\n    return source['x']", "KeyError: 'x' (line 2 of {path})"),
        ("def fill(source, name):\n    raise RuntimeError", "RuntimeError (line 2 of {path})"),
        ("import sys\ndef fill(source, name): sys.exit('no')", "it calls sys.exit (line 2 of {path})"),
        ("def fill(source, name): raise BaseException('no')", "BaseException: no (line 1 of {path})"),
        ("import sys\ndef fill(source, name): sys.stdout.close()", "fill returns no dict but 'NoneType'"),
        ("def fill(source, name): return fill(source, name)", "RecursionError: "),
        ("def fill(source, name): return [1]", "fill returns no dict but 'list'"),
        ("def fill(source, name): pass", "fill returns no dict but 'NoneType'"),
        ("def fill(source, name): return {'a': {1}}", "cannot be sent: JSON has nothing like a set"),
        ("def fill(source, name): return {'a': float('nan')}", "cannot be sent: nan is no number of JSON"),
        ("def fill(source, name): return {'a': 10 ** 5000}", "cannot be sent: it has a number of too many digits"),
        ("def fill(source, name): return {'a': {1: 2}}", "cannot be sent: the key 1 is no text"),
        ("def fill(source, name): return {'a': {None: 2}}", "cannot be sent: the key None is no text"),
        ("def fill(s, name):\n    s['a'] = s\n    return s", "cannot be sent: it is nested more than 100 levels deep"),
        ("def fill(): return {}", "TypeError: fill() takes 0 positional arguments but 2 were given"),
        ("def fill(source, name): raise ValueError('a\\nb\\x1b[31m')", "ValueError: a\\nb\\x1b[31m (line 1"),
        (
            "class E(Exception):\n    def __str__(self): raise E\ndef fill(source, name): raise E",
            "fails: E (line 3 of {path}); correct the hook",
        ),
    ],
)
def test_a_hook_that_fails_is_one_sentence_about_the_record(tmp_path: Path, code, said):
    hook = made(tmp_path, code)
    with pytest.raises(BadMetadata) as caught:
        hook.body({"title": "T"}, "5500")
    text = str(caught.value)
    assert text.startswith("5500: METADATA_HOOK fails: ") and text.endswith("; correct the hook")
    assert said.format(path=tmp_path / "mine.py") in text and text.isprintable()


def test_secrets_in_what_a_hook_says_are_masked(tmp_path: Path):
    secrets.note("swordfish-0123456789abcdef")
    code = "def fill(source, name):\n    print('swordfish-0123456789abcdef')\n    raise ValueError(source['title'])"
    with pytest.raises(BadMetadata) as caught:
        made(tmp_path, code).body({"title": "is swordfish-0123456789abcdef"}, "1")
    assert "swordfish" not in str(caught.value) and "ValueError: is ..." in str(caught.value)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def other(source, name): pass", "{path} has no function fill; correct METADATA_HOOK"),
        ("def fil(source, name): pass", "{path} has no function fill; did you mean fil"),
        ("x = 1\ndef fill(:", "{path} cannot be imported: SyntaxError: invalid syntax"),
        ("import nowhere", "{path} cannot be imported: ModuleNotFoundError: No module named 'nowhere' (line 1 of"),
        ("\nimport sys; sys.exit(3)", "{path} cannot be imported: it calls sys.exit (line 2 of {path})"),
        ("raise BaseException", "{path} cannot be imported: BaseException (line 1 of {path})"),
        ("\0", "{path} cannot be imported: "),
    ],
)
def test_a_file_that_has_no_hook(tmp_path: Path, code, said):
    with pytest.raises(UsageError) as caught:
        made(tmp_path, code)
    assert said.format(path=tmp_path / "mine.py") in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cern_to_delfi", "no hook of this name comes with gridsync; did you mean cern_to_delphi"),
        ("mine.txt:fill", "not a file of Python and a function in it"),
        ("mine.py:", "not a file of Python and a function in it"),
        ("mine.py:a b", "not a file of Python and a function in it"),
    ],
)
def test_a_setting_that_names_no_hook(text, said):
    with pytest.raises(UsageError, match=said):
        hook_of(text, "/", pytest.fail)


def test_no_setting_is_no_hook():
    assert hook_of("", "/", pytest.fail) is None


def test_only_the_users_own_file_is_run(tmp_path: Path):
    made(tmp_path, "def fill(source, name): return {}")
    asked: list[str] = []
    assert hook_of("mine.py:fill", str(tmp_path), asked.append)
    assert asked == ["METADATA_HOOK"]  # who has written Grid.conf is looked at, too
    (tmp_path / "mine.py").chmod(0o666)
    with pytest.raises(UsageError, match="METADATA_HOOK is not used because others can write"):
        hook_of("mine.py:fill", str(tmp_path), asked.append)
    with pytest.raises(UsageError, match=r"none\.py cannot be read: No such file or directory"):
        hook_of("none.py:fill", str(tmp_path), asked.append)


def test_what_a_hook_prints_is_a_note_and_does_not_come_between_the_lines_of_others(tmp_path: Path, capsys):
    hook = made(tmp_path, """\
        import threading
        print("loaded")
        def fill(source, name):
            print("a", name)
            other = threading.Thread(target=print, args=("another's",))
            other.start()
            other.join()
            print("b\\x1b")
            return {"metadata": {}}
    """)  # fmt: skip
    filled, screen = hook.body({}, "one"), sys.stdout
    assert filled.said == "a one; b\\x1b" and filled.notes("one") == ["one: METADATA_HOOK says: a one; b\\x1b"]
    assert capsys.readouterr().out == "another's\n" and sys.stdout is screen


def test_a_hook_may_change_its_source_and_what_it_has_returned(tmp_path: Path):
    hook = made(tmp_path, """\
        kept = {"metadata": {"names": []}}
        def fill(source, name):
            source["deep"]["title"] = "changed"
            kept["metadata"]["names"].append(name)
            return kept
    """)  # fmt: skip
    source = {"deep": {"title": "T"}}
    first, second = hook.body(source, "1").body, hook.body(source, "2").body
    assert source == {"deep": {"title": "T"}}
    assert (first, second) == ({"metadata": {"names": ["1"]}}, {"metadata": {"names": ["1", "2"]}})


def test_a_hook_is_called_by_one_thread_at_a_time(tmp_path: Path):
    hook = made(tmp_path, """\
        import time
        inside = most = 0
        def fill(source, name):
            global inside, most
            inside += 1
            most = max(most, inside)
            time.sleep(0.001)
            inside -= 1
            return {"metadata": {"most": most}}
    """)  # fmt: skip
    found: list[int] = []
    ask = lambda: [found.append(hook.body({}, "1").body["metadata"]["most"]) for _ in range(10)]  # noqa: E731
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 40


def test_what_sources_do_not_say_is_summed_up():
    found = [Filled({}, ["title", "rights"]), Filled({}, ["rights"]), Filled({})]
    assert summed_text(found) == "What the records' sources do not say is left out: rights in 2, title in 1"
    assert summed_text([Filled({})]) == ""


@pytest.mark.parametrize(
    ("complaints", "text"),
    [
        ([{"field": "metadata.title", "messages": ["Missing.", "Too short."]}], "metadata.title: Missing. Too short."),
        ({"metadata.title": "Missing."}, "metadata.title: Missing."),
        ([{"field": "a", "messages": [{"name": ["No."]}]}, {"messages": ["Bad."]}], "a: name: No.; the record: Bad."),
        (["odd"], "the record: odd"),
        ([{"field": "a\x1b[31m", "messages": ["x\ny"]}], "a\\x1b[31m: x y"),
        ({f"f{number}": "No." for number in range(10)}, "; ".join(f"f{n}: No." for n in range(8)) + "; and 2 more"),
        ({"a": "x" * 999}, "a: " + "x" * 197 + "..."),
        ([], ""),
        (None, ""),
    ],
)  # fmt: skip
def test_complaints_are_one_line(complaints, text):
    assert complaints_text(complaints) == text


def test_a_dry_run_shows_what_would_be_sent():
    text = dry_text({"metadata": {"title": "Ü\x1b"}})
    assert json.loads(text) == {"metadata": {"title": "Ü\x1b"}} and text.isprintable() is False
    assert text.split("\n")[2] == '    "title": "Ü\\u001b"'


def test_the_example_of_the_page_is_a_hook(tmp_path: Path):
    code = PAGE.split("```python\n")[1].split("```")[0]
    hook = made(tmp_path, code)
    source = {"title": "T", "taken": "2026-06-01T10:00", "authors": ["Doe, Jane", "Roe, Richard"]}
    filled = fill(hook, source, "run7", "", ["a", "b"]).body["metadata"]
    assert filled["publication_date"] == "2026-06-01" and filled["description"] == "Run run7, 2 files."
    assert [person["person_or_org"]["given_name"] for person in filled["creators"]] == ["Jane", "Richard"]
    assert order_of(hook, source, "b") < order_of(hook, {**source, "taken": "2027"}, "a")
    with pytest.raises(BadMetadata) as caught:
        hook.body({}, "run8")
    said = PAGE.split("`... METADATA_HOOK fails: ")[1].split("hook.py")[0]
    assert f"run8: METADATA_HOOK fails: {said}{tmp_path}" in str(caught.value)


def test_the_page_lists_the_fields_that_the_built_in_hook_fills():
    table = PAGE.split("## What cern_to_delphi fills")[1].split("\n\n")[1]
    fields = {word for line in table.split("\n")[2:] for word in line.split("|")[1].replace("`", "").split(", ")}
    assert {field.strip() for field in fields} == {name.partition(".")[0] for name in FIELDS}
