"""Third-party copies between the simulated doors, and with the real XRootD: the bytes really go from door to door."""

from __future__ import annotations

import http.client
import re
import threading
import time

import pytest

from tests.grid.tree import checksum
from tests.grid.xrootd import SCRATCH, XRootD
from tests.support.client import SIZE, Client
from tests.support.user import wait_until

D, S = "dcache-10.2", "storm-1.9"
SUCCESS = b"success: Created\n"
MARK = {
    D: rb"Perf Marker\n    Timestamp: \d+\n    State: \w.*\n    Stripe Index: 0\n    Stripe Bytes Transferred: \d+\n"
    rb"    Total Stripe Count: 1\n(?:    RemoteConnections: tcp:\S+\n)?End\n",
    S: rb"Perf Marker\n    Timestamp: \d+\n    Stripe Index: 0\n    Stripe Bytes Transferred: \d+\n"
    rb"    Total Stripe Count: 1\nEnd\n",
}


def digest(user: Client, name: str) -> str | None:
    return user.ask("HEAD", name, Want_Digest="adler32").headers["Digest"]


@pytest.mark.every(3)
@pytest.mark.parametrize("profile", [D, S])
@pytest.mark.parametrize("other", [D, S])
def test_a_door_fetches_from_another_and_brings_to_another(at, profile, other):
    user, there = at(profile), at(other)
    user.door.switches.marker_interval = 0.05
    there.door.switches.latency = 0.06
    answer = user.copy("fetched", there, there.macaroon("DOWNLOAD", "LIST"))
    assert (answer.status, answer.body.endswith(SUCCESS)) == (202, True)
    assert re.fullmatch(b"(%s)+success: Created\n" % MARK[profile], answer.body)
    assert user.get("fetched").body == there.tree.expected("agata/disk")
    assert digest(user, "fetched") == f"adler32={checksum(there.tree.file('agata/disk'), 'adler32')}"
    user.tree.add("agata/mine", SIZE + 1)
    token = there.macaroon("UPLOAD", "DOWNLOAD", "LIST", path="/agata")
    answer = user.copy("mine", there, token, theirs="brought", way="Destination")
    assert (answer.status, answer.body.endswith(SUCCESS)) == (202, True)
    assert there.get("brought").body == user.tree.expected("agata/mine")
    assert there.door.log.count(role="door", token=True, method="PUT", client=None) == 0
    if other == D:  # whose bytes come from its pool, and go there
        assert there.door.log.count(role="pool", method="GET", status=200) >= 1
        assert there.door.log.count(role="pool", method="PUT", status=201) == 1


def test_only_the_last_line_says_that_a_copy_failed(at):
    user, there = at(), at()
    answer = user.copy("new", there, "junk")
    assert (answer.status, answer.headers["Content-Type"]) == (202, "text/perf-marker-stream")
    assert answer.body == b"failure: rejected GET: 401 login failed\n"
    assert user.tree.find("agata/new") is None
    storm = at(S)
    assert storm.copy("new", there, "junk").body.startswith(b"failure: ")
    assert storm.ask("HEAD", "new").headers["Content-Length"] == "0"  # left behind, and 200
    assert digest(storm, "new") is None


def test_what_can_be_said_before_a_copy(at):
    user, storm, there = at(), at(S), at()
    token = there.macaroon("DOWNLOAD", "LIST")
    assert user.copy("new", there, token, Credential="nonsense").status == 400
    assert storm.copy("new", there, token, Credential="gridsite").status == 400
    assert storm.copy("new", there, token, Credential="").status == 202
    both = {"Source": there.door.url, "Destination": there.door.url, "Credential": "none"}
    assert [user.ask("COPY", "new").status, user.ask("COPY", "new", **both).status] == [400, 400]
    assert user.ask("COPY", "disk", Destination="/agata/other", Credential="none").status == 501
    assert [one.copy("disk", there, token, Overwrite="F").status for one in (user, storm)] == [500, 412]
    assert [one.copy("missing/new", there, token).status for one in (user, storm)] == [400, 409]
    assert [one.copy("gone", there, token, way="Destination").status for one in (user, storm)] == [404, 404]
    assert [one.copy("disk", there, token).body.endswith(SUCCESS) for one in (user, storm)] == [True, True]
    assert at(D, "plain").copy("new", there, token).status == 401
    assert at(S, "plain").copy("new", there, token).status == 403


def test_dcache_asks_for_a_proxy_to_act_with_unless_told_that_none_is_needed(at):
    user, there = at(), at()
    answer = user.copy("new", there, "", Credential="")
    where = answer.headers["Location"]
    assert (answer.status, where) == (302, f"{user.door.url}/agata/new?asked-to-delegate=true")
    assert answer.headers["X-Delegate-To"].startswith(user.door.url)
    refused = user.ask("COPY", where, Source=f"{there.door.url}/agata/disk")
    assert (refused.status, refused.reason) == (401, "client failed to delegate a credential")


def test_a_checksum_that_differs_is_noticed_by_dcache_alone(at):
    there = at()
    there.door.faults.add("*/disk", "wrong_bytes", role="pool")
    token = there.macaroon("DOWNLOAD", "LIST")
    assert b"failure: checksum verification failed: " in at().copy("new", there, token).body
    storm = at(S)
    assert storm.copy("new", there, token).body == SUCCESS
    assert digest(storm, "new") != digest(there, "disk")  # a client that compares knows
    there.door.faults.clear()
    there.tree.file("agata/disk").checksums = ()
    user = at()
    assert user.copy("new", there, token).body.startswith(b"failure: checksum verification failed")
    assert user.copy("new", there, token, RequireChecksumVerification="false").body == SUCCESS


def test_storm_copies_within_itself_and_forgets_the_checksum(at):
    user = at(S)
    assert user.ask("COPY", "disk", Destination=f"{user.door.url}/agata/twin").status == 201
    assert (user.get("twin").body, digest(user, "twin")) == (user.tree.expected("agata/disk"), None)
    elsewhere = user.door.url.replace("localhost", "127.0.0.1")  # another name of itself
    headers = {"Source": f"{elsewhere}/agata/disk", "TransferHeaderAuthorization": f"Bearer {user.macaroon('X')}"}
    assert user.ask("COPY", "third", **headers).body == SUCCESS
    assert digest(user, "third") == digest(user, "disk")


# == What goes wrong ====================================================================================


def slow(at, profile: str) -> tuple[Client, Client, str]:
    """A door whose copies from another take some seconds."""
    user, there = at(profile), at(S)
    there.door.switches.bandwidth = SIZE / 2
    user.door.switches.marker_interval = 0.02
    return user, there, there.macaroon("DOWNLOAD")


def test_marks_may_stop(at):
    user, there, token = slow(at, D)
    user.door.faults.add("*/new", "stall_in_body", method="COPY", at=300)
    with pytest.raises(TimeoutError):
        user.copy("new", there, token, timeout=0.3)


def test_a_door_may_die_in_the_middle(at):
    user, there, token = slow(at, S)
    threading.Timer(0.3, user.door.down).start()
    with pytest.raises((http.client.HTTPException, OSError)):
        user.copy("new", there, token)
    wait_until(lambda: not user.door.copies.running)
    user.door.up()
    assert user.ask("HEAD", "new").headers["Content-Length"] == "0"


def test_the_other_end_may_die_in_the_middle(at):
    user, there, token = slow(at, D)
    threading.Timer(0.3, there.door.down).start()
    answer = user.copy("new", there, token)
    assert answer.body.splitlines()[-1].startswith(b"failure: ")
    assert user.tree.find("agata/new") is None


@pytest.mark.parametrize(("profile", "is_there"), [(D, False), (S, True)])
def test_a_client_that_leaves_takes_the_copy_with_it_at_dcache_alone(at, profile, is_there):
    user, there, token = slow(at, profile)
    there.door.switches.bandwidth = SIZE * 2
    began = time.monotonic()
    user.copy("new", there, token, patient=False)
    assert time.monotonic() - began < 0.4
    wait_until(lambda: not user.door.copies.running)
    assert (user.tree.find("agata/new") is not None) == is_there
    if is_there:
        assert digest(user, "new") == digest(there, "disk")


@pytest.mark.parametrize(("profile", "is_there"), [(D, False), (S, True)])
def test_a_line_that_breaks_takes_the_copy_with_it_at_dcache_alone(at, profile, is_there):
    user, there, token = slow(at, profile)
    there.door.switches.bandwidth = SIZE * 2
    user.door.faults.add("*/new", "reset_in_body", method="COPY", at=300)
    with pytest.raises((http.client.HTTPException, OSError)):
        user.copy("new", there, token)
    wait_until(lambda: not user.door.copies.running)
    assert (user.tree.find("agata/new") is not None) == is_there


@pytest.mark.parametrize(("profile", "status"), [(D, 202), (S, 202), (S, 201)])
def test_what_is_said_at_first_is_no_verdict(at, profile, status):
    user, there = at(profile), at()
    user.door.switches.copy_status = status
    answer = user.copy("new", there, "junk")
    assert (answer.status, answer.body.splitlines()[-1][:9]) == (status, b"failure: ")


def test_how_a_copy_went_may_never_be_said(at):
    user, there, token = slow(at, S)
    there.door.switches.bandwidth, user.door.switches.copy_marks = SIZE * 4, 1
    with pytest.raises(TimeoutError):
        user.copy("new", there, token, timeout=1)
    wait_until(lambda: not user.door.copies.running)
    assert user.get("new").body == there.tree.expected("agata/disk")


@pytest.mark.parametrize(
    ("leaves", "status", "size"), [("nothing", 404, 0), ("empty", 200, 0), ("part", 200, 1), ("whole", 200, SIZE)]
)
def test_what_has_failed_may_look_fine(at, leaves, status, size):
    user, there = at(S), at()
    user.door.switches.copy_leaves, user.door.switches.copy_fails = leaves, "why not"
    assert user.copy("new", there, there.macaroon("DOWNLOAD")).body.endswith(b"failure: why not\n")
    answer = user.ask("HEAD", "new")
    assert answer.status == status
    if status == 200:
        length = int(answer.headers["Content-Length"])
        assert length == size or (size == 1 and SIZE / 2 <= length <= SIZE)
        assert user.get("new").body != there.tree.expected("agata/disk") and digest(user, "new") is None


def test_there_may_be_no_room(at):
    user, there = at(), at(S)
    token, theirs = there.macaroon("DOWNLOAD", "UPLOAD"), f"{user.door.url}/agata/disk"
    for door in (user.door, there.door):
        door.switches.quota = SIZE - 1
    assert user.copy("new", there, token).body == b"failure: No space left on device\n"
    headers = {"Source": theirs, "TransferHeaderAuthorization": f"Bearer {user.macaroon('DOWNLOAD')}"}
    assert there.ask("COPY", "new", **headers).body == b"failure: No space left on device\n"
    assert user.copy("disk", there, token, "brought", "Destination").body.startswith(b"failure: rejected PUT: 507")
    assert user.tree.find("agata/new") is there.tree.find("agata/brought") is None


def test_what_is_on_tape_is_waited_for_by_dcache_and_refused_by_storm(at):
    user, storm = at(), at(S)
    token, other = user.macaroon("DOWNLOAD", "UPLOAD"), storm.macaroon("DOWNLOAD", "UPLOAD")
    assert user.copy("new", storm, other, "tape").body.startswith(b"failure: rejected GET: 415")
    assert storm.copy("tape", user, token, "new", "Destination").status == 415
    assert storm.copy("new", user, token, "tape").body.startswith(b"failure: rejected GET: 500")
    assert user.copy("tape", storm, other, "brought", "Destination").body.startswith(b"failure: locality NEARLINE")
    user.door.switches.mover_timeout = 30
    user.robot.go()
    assert user.copy("tape", storm, other, "brought", "Destination").body.endswith(SUCCESS)
    assert storm.get("brought").body == user.tree.expected("agata/tape")


def test_what_grows_is_seen_and_what_is_removed_meanwhile_stays_away(at):
    user, there, token = slow(at, S)
    user.door.switches.copy_grows, user.door.switches.copy_leaves = True, "part"
    user.copy("new", there, token, patient=False)
    wait_until(lambda: 0 < user.tree.file("agata/new").size < SIZE)
    assert digest(user, "new") is None
    assert user.ask("DELETE", "new").status == 204
    wait_until(lambda: not user.door.copies.running)
    assert user.tree.find("agata/new") is None


# == With the real one ==================================================================================


def xrootd_token(user: Client, server: XRootD, *activities: str) -> str:
    wish = {"caveats": [f"activity:{','.join(activities)}"], "validity": "PT1H"}
    answer = user.ask("POST", f"{server.scratch}/", wish, Content_Type="application/macaroon-request")
    return str(answer.json["macaroon"])


@pytest.mark.parametrize("profile", [D, S])
def test_the_real_xrootd_fetches_from_the_simulated_and_brings_to_it(at, grid, profile):
    user, mine = at(profile), f"{grid.copier.scratch}/{profile}"
    token = user.macaroon("DOWNLOAD", "UPLOAD", "LIST", path="/agata")
    handed_on = {"TransferHeaderAuthorization": f"Bearer {token}", "Credential": "none"}
    answer = user.ask("COPY", mine, Source=f"{user.door.url}/agata/disk", **handed_on)
    assert (answer.status, answer.body.strip().splitlines()[-1]) == (201, b"success: Created"), answer
    assert user.ask("GET", mine).body == user.tree.expected("agata/disk")
    answer = user.ask("COPY", mine, Destination=f"{user.door.url}/agata/back", **handed_on)
    assert answer.body.strip().splitlines()[-1] == b"success: Created", answer
    assert user.get("back").body == user.tree.expected("agata/disk")


@pytest.mark.parametrize("profile", [D, S])
def test_the_simulated_fetch_from_the_real_xrootd_and_bring_to_it(at, grid, profile):
    user, there = at(profile), f"{grid.copier.scratch}/simulated-{profile}"
    token = xrootd_token(user, grid.copier, "UPLOAD", "DOWNLOAD", "LIST", "DELETE")
    handed_on = {"TransferHeaderAuthorization": f"Bearer {token}", "Credential": "none"}
    answer = user.ask("COPY", "disk", Destination=there, **handed_on)
    assert (answer.status, answer.body.splitlines()[-1]) == (202, b"success: Created"), answer
    assert user.ask("GET", there).body == user.tree.expected("agata/disk")
    assert user.ask("COPY", "fetched", Source=there, **handed_on).body.splitlines()[-1] == b"success: Created"
    assert user.get("fetched").body == user.tree.expected("agata/disk")


@pytest.mark.parametrize("way", ["Source", "Destination"])
def test_real_xrootds_copy_from_and_to_each_other(at, copiers, way, tmp_path):
    user, (here, there), name = at(), copiers, f"{tmp_path.name}-{way}"
    data = b"some bytes" * 1000
    acts, far = (here, there) if way == "Source" else (there, here)  # always from `there` to `here`
    there.add(f"{SCRATCH}/{name}", data)
    token = xrootd_token(user, far, *(["DOWNLOAD"] if way == "Source" else ["UPLOAD", "MANAGE"]))
    headers = {way: f"{far.scratch}/{name}", "TransferHeaderAuthorization": f"Bearer {token}"}
    answer = user.ask("COPY", f"{acts.scratch}/{name}", Credential="none", Overwrite="F", **headers)
    assert (answer.status, answer.body.strip().splitlines()[-1]) == (201, b"success: Created"), answer
    assert (here.folder / "data" / SCRATCH / name).read_bytes() == data
    assert user.ask("GET", f"{here.scratch}/{name}").body == data


def test_a_key_of_one_real_xrootd_opens_nothing_at_the_other(at, copiers, tmp_path):
    user, (here, there), name = at(), copiers, tmp_path.name
    there.add(f"{SCRATCH}/{name}", b"some bytes")
    headers = {"Source": f"{there.scratch}/{name}", "Credential": "none"}
    headers["TransferHeaderAuthorization"] = f"Bearer {xrootd_token(user, here, 'DOWNLOAD')}"
    answer = user.ask("COPY", f"{here.scratch}/{name}", **headers)
    assert answer.body.strip().splitlines()[-1].startswith(b"failure: "), answer
