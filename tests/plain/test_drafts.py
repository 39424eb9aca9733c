"""What a repository tells of a draft, as far as it can be right."""

from __future__ import annotations

import pytest

from gridsync_parts.doors.drafts import draft_of
from gridsync_parts.errors import DoorError


@pytest.mark.parametrize("record", ["0a1b2-c3d4e", "12345", "physh_1.2"])
def test_ids_as_repositories_give_them_are_taken(record):
    assert draft_of({"id": record}).id == record


@pytest.mark.parametrize("record", [None, 12345, "", "..", ".x", "-x", "a/b", "a/../b", "a b", "a\nb", "é", "x" * 101])
def test_an_id_that_could_be_no_folder_makes_no_sense(record):
    with pytest.raises(DoorError, match="makes no sense"):
        draft_of({"id": record})


@pytest.mark.parametrize("document", [None, [], "x", 1, {}])
def test_nor_does_an_answer_that_is_no_record(document):
    with pytest.raises(DoorError, match="makes no sense"):
        draft_of(document)
