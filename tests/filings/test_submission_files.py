"""Receipts and notices in a submission folder: they are about the submission, and not part of it."""

from __future__ import annotations

import hashlib
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.config import loader
from archiver.filings.change_detection import detect_change
from archiver.filings.register import filings_from_events
from archiver.filings.submissions import hash_manifest
from archiver.filings.version_differences import compare_versions
from archiver.model import Material
from archiver.store import names
from archiver.store.resolve import find_version
from archiver.verify.expected import RecordedMaterial
from archiver.verify.versions import _compute_manifest_digests
from tests.support import forged
from tests.support.site import CHECKOUT, Site

VERIFIER = runpy.run_path(str(CHECKOUT / "archiver/audit/resources/verify.py"))


def manifest(**contents: str) -> str:
    """The digest of a manifest of files, calculated once more."""
    lines = [
        json.dumps(
            {"path": path, "sha256": hashlib.sha256(text.encode()).hexdigest(), "size": len(text)},
            sort_keys=True,
            separators=(",", ":"),
        )
        + "\n"
        for path, text in sorted(contents.items())
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@pytest.fixture
def site(site: Site) -> Site:
    """A submission folder with a receipt and a notice that were there before the submission was recorded."""
    for name, text in {"a": "1", "receipt.pdf": "receipt", "notice.pdf": "notice"}.items():
        site.write(f"f/s/{name}", text)
    site.catch_up()
    return site


def submit(site: Site, *arguments: str, **more: Any) -> Any:
    return site.run("submit", "f/s", "--on", "2026-03-02", *arguments, **more)


#: A version that was submitted, and is not the newest one any more.
CHANGED = {
    "submitted": "f/s/submitted",
    "submitted_name": "f/s/submitted",
    "latest": "f/s/v2",
    "latest_name": "f/s/v2",
}
STATED = ("--receipt-in-folder", "receipt.pdf", "--notice-in-folder", "notice.pdf")


def test_a_submission_lists_the_files_about_it_and_signs_the_rest(site: Site) -> None:
    submit(site, *STATED)
    (event,) = site.events("submit")
    assert event["details"]["about"] == [
        {"path": f"{role}.pdf", "digest": f"sha256:{hashlib.sha256(role.encode()).hexdigest()}", "role": role}
        for role in ("receipt", "notice")
    ]
    assert event["details"]["manifest_sha256"] == manifest(a="1")
    # The tree of the tag's commit has all three files, so the tag names what was submitted.
    tag = site.git("cat-file", "tag", "refs/tags/f/s/submitted").stdout
    assert f"\nmanifest-sha256 {manifest(a='1')}\n" in tag
    site.verified()
    shown = site.json("show", "f/s/v1")
    assert [(file["path"], file["role"], file["submission"]) for file in shown["about"]] == [
        ("receipt.pdf", "receipt", "f/s/submitted"),
        ("notice.pdf", "notice", "f/s/submitted"),
    ]
    assert len(shown["materials"]) == 3
    assert [file["path"] for file in site.json("log")[0]["submitted"][0]["about"]] == ["receipt.pdf", "notice.pdf"]
    assert (
        "About f/s/submitted, not part of it: receipt.pdf in f/s/v1 (receipt)" in site.run("show", "f/s/v1").stdout
    )
    assert "  About f/s/submitted, not part of it: notice" in site.run("explain", "f/s/v1:notice.pdf").stdout
    assert "About" not in site.run("explain", "f/s/v1:a").stdout
    site.run("reindex")
    assert site.json("show", "f/s/v1") == shown


def test_a_submission_without_such_files_is_as_it_was(site: Site) -> None:
    """Nothing is guessed from a name: the regulator may have asked for the receipt of another filing."""
    submit(site)
    (event,) = site.events("submit")
    assert "about" not in event["details"]
    assert "manifest-sha256" not in site.git("cat-file", "tag", "refs/tags/f/s/submitted").stdout
    assert event["details"]["manifest_sha256"] == manifest(
        **{"a": "1", "receipt.pdf": "receipt", "notice.pdf": "notice"}
    )
    assert "about" not in site.json("show", "f/s/v1")
    assert "about" not in site.json("log")[0]["submitted"][0]


def test_the_same_version_is_submitted_twice_with_other_files_about_it(site: Site) -> None:
    submit(site, *STATED[:2])
    submit(site, *STATED[2:])
    submit(site)
    assert len({event["details"]["manifest_sha256"] for event in site.events("submit")}) == 3
    site.verified()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--receipt-in-folder", "receipt"), 7, "contains no file receipt."),
        (("--receipt-in-folder", "folder"), 7, "contains no file folder."),
        ((*STATED, "--notice-in-folder", "receipt.pdf"), 2, "stated twice"),
        ((*STATED, "--receipt-in-folder", "a"), 2, "no submitted file is left"),
    ],
)
def test_what_cannot_be_is_refused(site: Site, arguments: tuple[str, ...], code: int, text: str) -> None:
    (site.watch / "f/s/folder").mkdir()
    site.catch_up()
    assert text in submit(site, *arguments, code=code).stderr
    assert site.events("submit") == []
    assert site.json("log")[0]["submitted"] == []


# --- a receipt that comes later


def attach(site: Site, *arguments: str, **more: Any) -> Any:
    return site.run("submission", "attach", *arguments, **more)


def test_a_receipt_that_comes_later_is_a_record_on_the_submission(site: Site) -> None:
    submit(site, *STATED)
    site.write("f/s/回执.pdf", "later")
    site.catch_up()
    assert site.json("status")["changed_since_submitted"] == [CHANGED]
    done = attach(site, "f/s", "回执.pdf", "--role", "receipt", "--by", "王")
    assert "Recorded 回执.pdf in f/s/v2 as a file about f/s/submitted." in done.stdout
    (event,) = site.events("submission-file")
    assert event["class"] == "note"
    assert event["chain"] == site.events("submit")[0]["chain"]
    assert event["details"] == {
        "submission": "f/s/submitted",
        "version": "f/s/v2",
        "path": "回执.pdf",
        "digest": f"sha256:{hashlib.sha256(b'later').hexdigest()}",
        "role": "receipt",
        "by": "王",
    }
    assert [file["path"] for file in site.json("show", "f/s/submitted")["about"]] == [
        "receipt.pdf",
        "notice.pdf",
        "回执.pdf",
    ]
    # It is no change to what was submitted.
    assert site.json("status")["changed_since_submitted"] == []
    assert "already recorded" in attach(site, "f/s", "回执.pdf", "--role", "receipt", code=2).stderr
    site.verified()
    site.check_journal()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("f/s", "receipt.pdf"), 2, "was not submitted"),
        (("f/t", "receipt.pdf"), 7, "f/t"),
        (("g/s/v1", "receipt.pdf"), 7, "g/s/v1"),
    ],
)
def test_only_a_submission_has_files_about_it(
    site: Site, arguments: tuple[str, ...], code: int, text: str
) -> None:
    assert text in attach(site, *arguments, "--role", "receipt", code=code).stderr


def test_the_file_is_of_the_same_filing(site: Site) -> None:
    site.write("g/s/receipt.pdf", "of g")
    site.catch_up()
    submit(site)
    arguments = ("f/s/submitted", "receipt.pdf", "--role", "receipt", "--version", "g/s/v1")
    assert "different filings" in attach(site, *arguments, code=2).stderr
    assert "contains no file x" in attach(site, "f/s/v1", "x", "--role", "receipt", code=7).stderr
    assert site.events("submission-file") == []


# --- comparisons


def test_two_submissions_are_compared_without_what_is_about_them(site: Site) -> None:
    submit(site, *STATED)
    site.write("f/s/a", "2")
    site.write("f/s/later.pdf", "later")
    site.write("f/s/notice.pdf", "another notice")
    site.catch_up()
    # Not submitted: nobody has said yet what belongs to it.
    assert [change["path"] for change in site.json("diff", "f/s/v1", "f/s/v2")] == ["a", "later.pdf", "notice.pdf"]
    submit(site, "--receipt-in-folder", "later.pdf", "--notice-in-folder", "notice.pdf")
    assert [change["path"] for change in site.json("diff", "f/s/v1", "f/s/v2")] == ["a"]
    shown = site.run("diff", "f/s/v1", "f/s/v2").stdout
    assert "Not compared, because it is about a submission: later.pdf" in shown
    archive = site.open()
    versions = [find_version(archive, f"f/s/v{number}") for number in (1, 2)]
    assert len(compare_versions(archive.index, *versions)) == 3
    archive.close()


def test_a_signed_file_about_an_earlier_submission_is_named(site: Site) -> None:
    submit(site, *STATED)
    site.write("f/s/a", "2")
    site.catch_up()
    warned = submit(site, *STATED[:2]).stderr
    assert "archiver submission attach f/s/submitted-2 notice.pdf --role notice" in warned
    assert "receipt.pdf was signed as part" not in warned
    attach(site, "f/s/submitted-2", "notice.pdf", "--role", "notice")
    site.verified()


# --- forgeries


@pytest.mark.parametrize("about", [[], [{"path": "b", "digest": "sha256:" + "0" * 64, "role": "receipt"}]])
def test_other_files_than_those_that_were_signed_are_found(site: Site, about: list[dict[str, str]]) -> None:
    submit(site, *STATED)
    newest = len(site.events())
    (number,) = (event["seq"] for event in site.events("submit"))

    def alter(seq: int, files: dict[str, bytes]) -> dict[str, bytes]:
        if seq != number:
            return files
        body = json.loads(files["body.json"])
        body["details"]["about"] = about
        return files | {"body.json": forged.canonical(body)}

    forged.rewrite(site, alter, is_relinked=True, key=site.archive / "keys")
    assert len(site.events()) == newest
    site.run("reindex", code=None)
    assert "A043" in {finding["code"] for finding in site.findings()}


# --- the package


def check(package: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", "verify.py", "--lang", "en"], cwd=package, capture_output=True, text=True
    )


@pytest.mark.needs("processes")
def test_a_package_shows_them_apart_and_its_verifier_checks_the_rest(site: Site) -> None:
    submit(site, *STATED)
    site.write("f/s/later.pdf", "later")
    site.catch_up()
    attach(site, "f/s", "later.pdf", "--role", "receipt")
    site.run("audit", "--to", "package")
    package = site.root / "package"
    done = check(package)
    assert (done.returncode, "No findings." in done.stdout) == (0, True), done.stdout
    versions = json.loads((package / "data/versions.json").read_text("utf-8"))
    assert [file["path"] for file in versions[0]["submitted"][0]["about"]] == [
        "receipt.pdf",
        "notice.pdf",
        "later.pdf",
    ]
    page = (package / "report.html").read_text("utf-8")
    apart = page.index("About a submission, and not part of it")
    assert page.index(">a</a>") < apart < page.index(">notice.pdf</a>", apart)
    versions[0]["submitted"][0]["about"].pop()
    (package / "data/versions.json").write_text(json.dumps(versions) + "\n", "utf-8")
    assert "versions.json lists other files about the submission" in check(package).stdout


# --- other parts that compare what was submitted


def test_a_receipt_is_no_change_of_a_filed_algorithm(site: Site) -> None:
    """The journal would ask for ever whether the receipt is a material change."""
    submit(site, *STATED)
    site.run("filing", "set", "f", "--status", "filed")
    site.write("f/s/later.pdf", "later")
    site.catch_up()
    attach(site, "f/s", "later.pdf", "--role", "receipt")
    archive, config = site.open(), loader.load_config(site.config)
    filing = filings_from_events(archive.index.life_events())["f"]
    assert detect_change(archive, filing, config) is None
    archive.close()
    site.write("f/s/a", "2")
    site.catch_up()
    archive = site.open()
    change = detect_change(archive, filing, config)
    assert change is not None
    assert change.changed_materials == ("a",)
    archive.close()


def test_the_receipt_of_a_numbered_submission_lies_in_the_next_one(bare_site: Site) -> None:
    """In this layout, the first change after a submission begins the next number."""
    bare_site.layout = "{filing}"
    bare_site.init()
    bare_site.write("f/a", "1")
    bare_site.catch_up()
    bare_site.run("submit", "f/01", "--on", "2026-03-02")
    bare_site.write("f/receipt.pdf", "receipt")
    bare_site.catch_up()
    attach(bare_site, "f/01/submitted", "receipt.pdf", "--role", "receipt", "--version", "f/02/v1")
    (file,) = bare_site.json("show", "f/01/v1")["about"]
    assert (file["path"], file["version"]) == ("receipt.pdf", "f/02/v1")
    bare_site.verified()


NAMES = st.text(alphabet="xy/%文 ", min_size=1, max_size=4)


@given(
    st.dictionaries(NAMES, st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=6),
    st.sets(NAMES, max_size=3),
)
def test_all_three_readers_hash_the_same_rest(files: dict[str, tuple[int, int]], left_out: set[str]) -> None:
    """The writer, ``verify``, and the verifier of a package, each with code of its own."""
    contents = {path: hashlib.sha256(bytes([number])).hexdigest() for path, (number, _) in files.items()}
    about = [
        {"path": path, "digest": "sha256:" + contents.get(path, "0" * 64), "role": "receipt"} for path in left_out
    ]
    state = {path: (contents[path], size) for path, (_, size) in files.items()}
    of_verifier = VERIFIER["digest_of_submission"](state, {"about": about})
    recorded = {path: RecordedMaterial(*material) for path, material in state.items()}
    of_verify = _compute_manifest_digests(
        recorded, frozenset((each["path"], each["digest"].removeprefix("sha256:")) for each in about)
    )
    if not left_out <= files.keys():
        assert (of_verifier, of_verify) == ("", {})
        return
    rest = [
        Material(names.name_from_text(path), sha256, size, 0)
        for path, (sha256, size) in state.items()
        if path not in left_out
    ]
    assert hash_manifest(rest, with_sm3=False).sha256 == of_verifier == of_verify["sha256"]
