"""Content, locks, keys, journal and index, each against the real thing."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from archiver.errors import Busy, StorageError
from archiver.model import Change, Material, Op, Submission
from archiver.store import keys, lock
from archiver.store.archive import Archive
from archiver.store.changes import MaterialPair, compute_changes
from archiver.store.content.objects import ContentStore, lfs_pointer
from archiver.store.content.root_folder import RootFolder
from archiver.store.content.source import FileSource, SourceChanged
from archiver.store.content.spool import process_folder
from archiver.store.creation.archive_creation import create_archive
from archiver.store.events.archive_events import ArchiveCreated
from archiver.store.events.change_lines import encode_change_lines, parse_change_lines
from archiver.store.events.event_details import GivenDetails
from archiver.store.events.event_kinds import Action
from archiver.store.git import pack_index
from archiver.store.git.commands import GitCommands
from archiver.store.git.git_process import GitProcess
from archiver.store.writing.drafts import Draft, Totals, VersionDraft
from archiver.verify.sshsig import has_valid_tag_signature
from tests.support.journal_model import check_journal

CREATED = ArchiveCreated(watch="/w", layout="{filing}/{submission}", retention_years=3, timezone="Asia/Shanghai")


@pytest.fixture
def content(tmp_path: Path) -> ContentStore:
    for name in ("objects", "spool"):
        (tmp_path / name).mkdir()
    return ContentStore(tmp_path / "objects", tmp_path / "spool")


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    made = create_archive(tmp_path / "archive", CREATED)
    yield made
    made.close()


def opened(path: Path) -> FileSource:
    return FileSource(RootFolder(os.fsencode(path.parent)), os.fsencode(path.name))


def test_stored_bytes_are_the_hashed_bytes(content: ContentStore, tmp_path: Path) -> None:
    data = os.urandom(3_000_001)
    (tmp_path / "f").write_bytes(data)
    staged = content.spool.stage_copy(opened(tmp_path / "f"))
    assert not content.has_object(staged.sha256, len(data))
    content.publish_copies([staged])
    path = content.path(staged.sha256)
    assert staged.sha256 == hashlib.sha256(data).hexdigest() == path.name
    assert path.read_bytes() == data
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert b"".join(content.read_chunks(staged.sha256)) == data
    assert list(content.spool.folder.iterdir()) == []


def test_deletions_that_cannot_be_made_durable_are_a_storage_error(content: ContentStore, tmp_path: Path) -> None:
    """Without a free descriptor an object can be deleted, but its folder cannot be opened to be synced."""
    (tmp_path / "f").write_bytes(b"data")
    staged = content.spool.stage_copy(opened(tmp_path / "f"))
    content.publish_copies([staged])
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(StorageError) as raised:
            content.destroy_objects([staged.sha256])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert f"Cannot make the deletions in {content.path(staged.sha256).parent} durable" in str(raised.value)
    assert not content.has_object(staged.sha256, 4)
    content.destroy_objects([staged.sha256])


def test_a_copy_that_vanished_from_the_spool_is_a_storage_error(content: ContentStore, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"data")
    staged = content.spool.stage_copy(opened(tmp_path / "f"))
    os.unlink(staged.spool_path or "")
    with pytest.raises(StorageError, match="Cannot write to the archive disk"):
        content.publish_copies([staged])
    content.publish_copies([content.spool.stage_copy(opened(tmp_path / "f"))])
    # An attempt that failed in the middle is repeated: what it has published is there.
    content.publish_copies([staged])


def test_the_same_content_is_stored_once(content: ContentStore, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"same")
    one, two = (content.spool.stage_copy(opened(tmp_path / name)) for name in ("a", "b"))
    content.publish_copies([one, two])
    content.publish_copies([content.spool.stage_copy(opened(tmp_path / "a"))])
    assert len([p for p in content.objects_folder.rglob("*") if p.is_file()]) == 1
    assert list(content.spool.folder.iterdir()) == []


def test_clearing_the_spool_deletes_what_killed_processes_left(content: ContentStore, tmp_path: Path) -> None:
    spool_folder = content.spool.folder
    with process_folder(spool_folder) as ended_folder:
        (ended_folder / "copy").write_bytes(b"copied")
    assert not ended_folder.exists()
    killed = process_folder(spool_folder)
    (killed.__enter__() / "copy").write_bytes(b"copied")
    (spool_folder / "tmp123-0").write_bytes(b"copied")
    # What a link in the spool points to is nothing of ours.
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").touch()
    (spool_folder / "tmp-link").symlink_to(tmp_path / "elsewhere")
    (spool_folder / "signing").touch()
    content.spool.clear()
    assert os.listdir(spool_folder) == ["signing"]
    assert os.listdir(tmp_path / "elsewhere") == ["file"]


def test_a_file_that_changes_while_it_is_read_is_not_archived_torn(content: ContentStore, tmp_path: Path) -> None:
    source = tmp_path / "f"
    source.write_bytes(b"x" * 50_000_000)
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.0005):
            with open(source, "ab") as stream:
                stream.write(b"y")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with pytest.raises(SourceChanged):
            content.spool.stage_copy(opened(source))
    finally:
        stop.set()
        thread.join()
    assert list(content.spool.folder.iterdir()) == []


def test_a_link_or_fifo_is_never_opened_as_a_file(content: ContentStore, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        content.spool.stage_copy(opened(tmp_path / "link"))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SourceChanged):
        content.spool.stage_copy(opened(tmp_path / "fifo"))


def test_reading_leaves_the_access_time_alone(content: ContentStore, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    os.utime(tmp_path / "f", ns=(1, 2))
    content.spool.stage_copy(opened(tmp_path / "f"))
    assert (tmp_path / "f").stat().st_atime_ns == 1


def test_pointers_are_those_of_git_lfs() -> None:
    assert lfs_pointer("ab", 0) == b""
    assert lfs_pointer("ab", 5) == b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 5\n"


@pytest.mark.needs("processes")
def test_a_held_lock_names_its_holder(tmp_path: Path) -> None:
    code = "import sys,time\nfrom pathlib import Path\nfrom archiver.store import lock\n"
    code += "with lock.hold_lock(Path(sys.argv[1]), 0): print('held', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", code, tmp_path / "lock"], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(Busy, match=str(other.pid)), lock.hold_lock(tmp_path / "lock", 0.1):
        pass
    assert str(other.pid) in (lock.describe_lock_holder(tmp_path / "lock") or "")
    other.kill()
    other.wait()
    other.stdout.close()
    with lock.hold_lock(tmp_path / "lock", 0) as held_lock:
        assert not held_lock.was_clean, "a holder that was killed did not end cleanly"
    with lock.hold_lock(tmp_path / "lock", 0) as held_lock:
        assert held_lock.was_clean
    assert lock.describe_lock_holder(tmp_path / "lock") is None


def test_an_error_inside_leaves_the_lock_unclean(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock.hold_lock(tmp_path / "lock", 0):
        raise ZeroDivisionError
    with lock.hold_lock(tmp_path / "lock", 0) as held_lock:
        assert not held_lock.was_clean


@pytest.mark.parametrize("was_clean", [True, False])
def test_an_error_before_anything_is_written_leaves_the_mark_as_it_was(tmp_path: Path, was_clean: bool) -> None:
    path = tmp_path / "lock"
    if was_clean:
        with lock.hold_lock(path, 0):
            pass
    holding = lock.hold_lock(path, 0)
    holding.__enter__().may_have_written = False
    holding.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert lock.is_marked_clean(path) == was_clean


@pytest.mark.needs("ssh-keygen")
def test_stock_openssh_accepts_our_signatures(tmp_path: Path) -> None:
    keys.create_keys(tmp_path / "keys")
    message = "密封 v1\n".encode()
    signature = keys.sign_message(tmp_path / "keys", message)
    (tmp_path / "sig").write_text(signature)
    verify = ["ssh-keygen", "-Y", "verify", "-f", tmp_path / "keys/allowed_signers", "-I", keys.PRINCIPAL]
    done = subprocess.run([*verify, "-n", "git", "-s", tmp_path / "sig"], input=message, capture_output=True)
    assert done.returncode == 0, done.stderr
    allowed = (tmp_path / "keys/allowed_signers").read_bytes()
    assert has_valid_tag_signature(message + signature.encode(), allowed)
    assert not has_valid_tag_signature(b"x" + message + signature.encode(), allowed)
    assert not has_valid_tag_signature(message, allowed)
    keys.create_keys(tmp_path / "other")
    assert not has_valid_tag_signature(
        message + signature.encode(), (tmp_path / "other/allowed_signers").read_bytes()
    )


@pytest.mark.needs("processes")
def test_the_private_key_is_for_its_owner_alone(archive: Archive) -> None:
    assert stat.S_IMODE((archive.keys_folder / "signing_key").stat().st_mode) == 0o600
    assert stat.S_IMODE(archive.keys_folder.stat().st_mode) == 0o700


@pytest.mark.needs("processes")
def test_a_missing_key_is_a_clear_error(archive: Archive) -> None:
    (archive.keys_folder / "signing_key").unlink()
    with pytest.raises(StorageError, match="signing key"):
        keys.sign_message(archive.keys_folder, b"x")


@pytest.mark.needs("processes")
def test_the_journal_is_a_chain_of_sha256(archive: Archive) -> None:
    with archive.writing(0) as writer:
        for number in range(3):
            writer.append(Draft(f"n{number}", GivenDetails(Action.TICK, {"x-z": "中", "x-a": 1})))
    events = list(archive.journal.events_since(None))
    # The first three are those of a new archive.
    assert [event.action for event in events] == ["init", "format", "watch-path", "tick", "tick", "tick"]
    assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6]
    assert events[0].prev == "0" * 64
    for before, after in zip(events, events[1:], strict=False):
        data = archive.repository.read(f"{before.commit}:event.json")
        assert after.prev == hashlib.sha256(data).hexdigest() == before.sha256
        body = archive.repository.read(f"{before.commit}:body.json")
        document, hidden = json.loads(data), json.loads(body)
        for stored, parsed in ((data, document), (body, hidden)):
            again = json.dumps(parsed, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
            assert stored == again.encode() + b"\n"
        assert set(document) == {
            *("seq", "at", "clock", "prev", "format", "body"),
            *("chain", "n", "chain_prev", "class"),
        }
        assert set(hidden) == {"action", "actor", "attachments", "details", "object", "refs", "salt"}
        assert document["body"] == f"sha256:{hashlib.sha256(body).hexdigest()}"
        assert {"time", "wall", "boot_id", "boottime_ns", "uptime_ns"} <= set(document["clock"])
        assert hidden["actor"]["uid"] == os.getuid()
    check_journal(archive.repository_path)


CHANGES = [
    Change(Op.ADD, b"a\nb", "11" * 32, 3, 5),
    Change(Op.ADD, b"\xff%41", "22" * 32, 3, 5),
    Change(Op.ADD, b"c", "33" * 32, 1, 2),
    Change(Op.MKDIR, b"empty"),
]


@pytest.mark.parametrize(
    "change", [*CHANGES, Change(Op.RENAME, b"n", "11" * 32, 3, 5, b"o"), Change(Op.DELETE, b"d")]
)
def test_change_lines_come_back(change: Change) -> None:
    header, line = encode_change_lines([change])
    assert header == b'{"changes":2}\n'
    [again] = parse_change_lines([header, line])
    assert (again.op, again.path, again.sha256, again.source) == (
        change.op,
        change.path,
        change.sha256,
        change.source,
    )


def _version(archive: Archive, number: int, parent: str | None, changes: list[Change]) -> str:
    submission = Submission("f", "s", b"f", b"s")
    with archive.writing(0) as writer:
        event = writer.write_version(VersionDraft(submission, number, parent, changes, Totals(1, 1, 1, 0, 0)))
    return event.refs[submission.branch]


def test_lines_of_format_1_come_back() -> None:
    lines = [
        b'{"mtime_ns":5,"op":"add","path":"a","sha256":"%s","size":3}\n' % (b"11" * 32),
        b'{"op":"delete","path":"d"}',
    ]
    assert list(parse_change_lines(lines)) == [Change(Op.ADD, b"a", "11" * 32, 3, 5), Change(Op.DELETE, b"d")]
    assert list(parse_change_lines([])) == []


@pytest.mark.needs("processes")
def test_a_chain_of_renames_is_kept_apart(archive: Archive) -> None:
    first = _version(archive, 1, None, CHANGES)
    swap = [
        Change(Op.RENAME, b"d", "33" * 32, 1, 2, b"c"),
        Change(Op.RENAME, b"c", "11" * 32, 3, 5, b"a\nb"),
        Change(Op.RMDIR, b"empty"),
    ]
    _version(archive, 2, first, swap)
    submission = Submission("f", "s")

    def paths(number: int | None) -> dict[bytes, str | None]:
        return {m.path: m.sha256 for m in archive.index.materials(submission, number)}

    assert paths(1) == {b"a\nb": "11" * 32, b"\xff%41": "22" * 32, b"c": "33" * 32, b"empty": None}
    assert paths(2) == paths(None) == {b"c": "11" * 32, b"d": "33" * 32, b"\xff%41": "22" * 32}
    assert [v.tag for v in archive.index.versions_with_content("11" * 32)] != []
    before = [list(archive.index.materials(submission, n)) for n in (1, 2)], archive.index.versions()
    archive.reindex()
    assert before == ([list(archive.index.materials(submission, n)) for n in (1, 2)], archive.index.versions())


@pytest.mark.needs("processes")
def test_the_cost_of_a_version_does_not_read_the_others(archive: Archive) -> None:
    """One change in a large submission writes a handful of objects, not one a material."""
    many = [Change(Op.ADD, f"d{n % 50}/f{n}".encode(), f"{n:064x}", 1, 1) for n in range(3000)]
    first = _version(archive, 1, None, many)
    before = set(pack_index.list_packs(archive.repository_path))
    _version(archive, 2, first, [Change(Op.MODIFY, b"d1/f1", "ee" * 32, 1, 1)])
    [new] = set(pack_index.list_packs(archive.repository_path)) - before
    # Pointer, three trees, commit and tag of the version; five files, tree and commit of its event.
    assert new.objects <= 13


@pytest.mark.needs("processes")
def test_a_version_starts_no_git_that_walks_through_the_journal(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After years of events, each capture would take seconds."""
    first = _version(archive, 1, None, [Change(Op.ADD, b"f", "ee" * 32, 1, 1)])
    started: list[str] = []
    start = GitCommands.start

    def start_and_note(commands: GitCommands, *arguments: str) -> GitProcess:
        started.append(arguments[0])
        return start(commands, *arguments)

    monkeypatch.setattr(GitCommands, "start", start_and_note)
    _version(archive, 2, first, [Change(Op.MODIFY, b"f", "dd" * 32, 1, 1)])
    assert started == ["update-ref"]


def _m(path: bytes, sha: str | None, mtime: int = 0) -> Material:
    return Material(path, sha, 1 if sha else 0, mtime)


def test_changes_between_two_states() -> None:
    pairs = [
        MaterialPair(_m(b"same", "1", 1), _m(b"same", "1", 2)),
        MaterialPair(_m(b"old", "2"), None),
        MaterialPair(None, _m(b"new", "2")),
        MaterialPair(_m(b"gone", "3"), None),
        MaterialPair(_m(b"mod", "4"), _m(b"mod", "5")),
        MaterialPair(_m(b"was-file", "6"), _m(b"was-file", None)),
        MaterialPair(_m(b"was-dir", None), _m(b"was-dir", "7")),
        MaterialPair(None, None),
    ]
    assert {(c.op, c.path, c.source) for c in compute_changes(pairs)} == {
        (Op.RENAME, b"new", b"old"),
        (Op.DELETE, b"gone", None),
        (Op.MODIFY, b"mod", None),
        (Op.DELETE, b"was-file", None),
        (Op.MKDIR, b"was-file", None),
        (Op.RMDIR, b"was-dir", None),
        (Op.ADD, b"was-dir", None),
    }


def test_two_processes_may_make_the_index_at_the_same_time(tmp_path: Path) -> None:
    from archiver.store.index.queries import Index

    for round_ in range(20):
        path = tmp_path / f"index{round_}.db"
        errors: list[BaseException] = []

        def make(path: Path = path, errors: list[BaseException] = errors) -> None:
            try:
                index = Index(path)
                index.version_count()
                index.close()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
