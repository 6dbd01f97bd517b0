"""The package's own verifier: every planted change is caught, and names the file."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.site import CHECKOUT, SAMPLES, Site
from tests.verify.test_disposals import forge

SOURCE = CHECKOUT / "archiver/audit/resources/verify.py"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the sample materials: two handings-in with receipts, a new key, a checkpoint, a hold."""
    site = Site(tmp_path_factory.mktemp("verifier") / "site").init()
    for filing in SAMPLES.iterdir():
        shutil.copytree(filing, site.watch / filing.name)
    site.write("g/s/它 它", "1")
    site.write("g/s/100%25\n", "2")
    (site.watch / "g/s/空").mkdir()
    site.catch_up()
    site.run("submit", "g/s", "--on", "2026-03-20", "--receipt", site.config)
    site.run("key", "rotate", "--reason", "yearly")
    (site.watch / "g/s/它 它").rename(site.watch / "g/s/它")
    site.write("g/s/new", "3")
    site.catch_up()
    site.run("submit", "g/s", "--on", "2026-03-21")
    site.run("hold", "place", "inspection", "g", "--reason", "spot check")
    site.run("audit", "--to", site.root / "package")
    return site.root / "package"


@pytest.fixture
def copied(package: Path, tmp_path: Path) -> Path:
    shutil.copytree(package, tmp_path / "package")
    return tmp_path / "package"


def run(package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", "verify.py", *arguments]
    return subprocess.run(command, cwd=package, capture_output=True, text=True, encoding="utf-8")


@pytest.fixture
def verifier(copied: Path) -> ModuleType:
    """The verifier of the package, in this process: two hundred changes take their time."""
    spec = importlib.util.spec_from_file_location("package_verifier", copied / "verify.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    spec.loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


def wrong(verifier: ModuleType) -> list[tuple[str, str]]:
    checker = verifier.Checker("en")
    verifier.check(checker, None)
    found: list[tuple[str, str]] = checker.findings
    return found


@pytest.mark.needs("processes")
def test_a_package_as_it_is_passes_in_both_languages(package: Path) -> None:
    done = run(package, "--lang", "en")
    assert done.returncode == 0, done.stdout
    # Two submissions, the new key, and the newest head.
    assert "signatures: 4" in done.stdout
    heads = (package / "data/heads.jsonl").read_bytes().count(b"\n")
    assert f"signed heads: {heads}," in done.stdout
    assert f"signatures of signed heads: {heads - 2} of {heads};" in done.stdout
    assert "git bundle verify" in done.stdout
    assert "未发现问题" in run(package, "--lang", "zh").stdout
    for locale in ("C", "zh_CN.UTF-8"):
        env = {"LC_ALL": locale, "PATH": os.environ["PATH"], "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
        done = subprocess.run([sys.executable, "-I", "-S", "verify.py"], cwd=package, env=env, capture_output=True)
        assert done.returncode == 0, done.stdout


def test_it_is_one_readable_file_for_python_3_8() -> None:
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 8))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported <= {"base64", "datetime", "hashlib", "json", "os", "struct", "sys"}
    # For the part that is the program's as well; without annotations in it, neither would be needed.
    from_modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert from_modules == ["__future__", "typing"]


@pytest.mark.needs("processes")
def test_two_hundred_random_changes_are_each_caught_and_named(copied: Path, verifier: ModuleType) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    files = sorted(p for p in copied.rglob("*") if p.is_file())
    assert wrong(verifier) == []
    for number in range(200):
        victim = chance.choice(files)
        name = victim.relative_to(copied).as_posix()
        before = victim.read_bytes()
        kind = ("flip", "delete", "add", "rename")[number % 4]
        other = victim.with_name(f"{victim.name}.{number}")
        if kind == "flip":
            changed = bytearray(before or b"\0")
            place = chance.randrange(len(changed))
            changed[place] ^= 1 << chance.randrange(8)
            victim.write_bytes(bytes(changed))
        elif kind == "delete":
            victim.unlink()
        elif kind == "add":
            other.write_bytes(b"x")
        else:
            victim.rename(other)
        found = wrong(verifier)
        named = {where for where, _ in found}
        expected = other.relative_to(copied).as_posix() if kind == "add" else name
        assert found, f"seed {seed}: {kind} {name}"
        # A manifest that was altered names what it no longer fits.
        assert expected in named or "manifest" in name, f"seed {seed}: {kind} {name}: {named}"
        other.unlink(missing_ok=True)
        victim.write_bytes(before)
    assert wrong(verifier) == []


@pytest.mark.needs("processes")
@pytest.mark.parametrize("name", ["journal", "bodies", "heads"])
def test_no_member_of_an_event_is_trusted_to_be_there(copied: Path, verifier: ModuleType, name: str) -> None:
    """Each name of a member is misspelled once for each kind of event: a finding, and never an exception."""
    altered_file = copied / f"data/{name}.jsonl"
    before = altered_file.read_bytes()
    lines = before.splitlines(keepends=True)
    bodies = (copied / "data/bodies.jsonl").read_bytes().splitlines()
    # Heads have no kind.
    kinds = ["" if name == "heads" else json.loads(body)["action"] for body in bodies[: len(lines)]]
    tried = set()
    for number, line in enumerate(lines):
        for match in re.finditer(rb'"([a-z_0-9]+)":', line):
            # The newest event of a kind may be looked at more closely than those before.
            is_newest = kinds[number] not in kinds[number + 1 :]
            if (kinds[number], match[1], is_newest) in tried:
                continue
            tried.add((kinds[number], match[1], is_newest))
            start = match.start(1)
            altered = line[:start] + b"X" + line[start + 1 :]
            altered_file.write_bytes(b"".join([*lines[:number], altered, *lines[number + 1 :]]))
            # The manifest tells anyway, and is made to fit: these checks have to tell by themselves.
            rehash(copied, altered_file.name)
            found = [where for where, what in wrong(verifier) if what != "the file was altered"]
            assert found, (kinds[number], match[1])
    assert len(tried) > {"journal": 100, "bodies": 100, "heads": 15}[name]


def rehash(package: Path, name: str) -> None:
    """Make the manifests fit again, as somebody who wants to deceive would."""
    import hashlib

    for manifest in (f"{prefix}manifest-sha256.txt" for prefix in ("", "tag")):
        path = package / manifest
        lines = []
        for line in path.read_text("utf-8").splitlines():
            _, listed = line.split("  ", 1)
            lines.append(f"{hashlib.sha256((package / listed).read_bytes()).hexdigest()}  {listed}\n")
        path.write_text("".join(lines), "utf-8")
    assert name


def edit(package: Path, name: str, old: str, new: str) -> None:
    path = package / name
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    rehash(package, name)


def first(package: Path, pattern: str) -> str:
    return sorted(path.relative_to(package).as_posix() for path in package.glob(pattern))[0]


@pytest.mark.needs("processes")
@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("data/journal.jsonl", '"class":"note"', '"class":"nOte"', "chain"),
        ("data/bodies.jsonl", '"reason":"spot check"', '"reason":"spot cheCk"', "the body of event"),
        ("data/heads.jsonl", '"format":2', '"format":3', "signed head"),
        ("data/versions/g/s/v1.jsonl", '"size":1', '"size":2', "changes in the journal"),
        ("data/materials/g/s/v1/它 它", "1", "9", "list of its version"),
        ("data/submitted/g/s/submitted/receipt.toml", "layout", "LAYOUT", "attachment"),
        ("data/journal/*/changes.jsonl", '"op":"add"', '"op":"ADD"', "attachment"),
        ("data/tags/*", "tagger", "TAGGER", "tag"),
        ("data/heads/*", "U1NIU0lH", "U1NIU0lI", "signature"),
        ("data/journal/1/allowed_signers", "AAAA", "AAAB", "attachment"),
    ],
)
def test_changes_with_manifests_that_fit_are_caught_too(
    copied: Path, verifier: ModuleType, name: str, old: str, new: str, said: str
) -> None:
    name = first(copied, name) if "*" in name else name
    edit(copied, name, old, new)
    found = wrong(verifier)
    assert any(said in what for _, what in found), found


#: Deeper than Python reads.
DEEP = "[" * 100_000


@pytest.mark.needs("processes")
@pytest.mark.parametrize(
    "name", ["data/versions.json", "data/versions/g/s/v1.jsonl", "data/journal/*/changes.jsonl"]
)
def test_json_that_is_nested_too_deep_is_a_finding(copied: Path, verifier: ModuleType, name: str) -> None:
    name = first(copied, name) if "*" in name else name
    (copied / name).write_text(DEEP + "\n")
    rehash(copied, name)
    assert [where for where, _ in wrong(verifier)] != []


@pytest.mark.needs("processes")
def test_a_version_that_the_journal_does_not_know_is_a_finding(copied: Path, verifier: ModuleType) -> None:
    """Its list is read by no other check."""
    entries = json.loads((copied / "data/versions.json").read_text("utf-8"))
    entries.append({**entries[0], "tag": "g/s/v9", "list": "data/versions/g/s/v9.jsonl", "submitted": []})
    (copied / "data/versions.json").write_text(json.dumps(entries) + "\n", "utf-8")
    rehash(copied, "data/versions.json")
    assert "data/versions/g/s/v9.jsonl" in {where for where, _ in wrong(verifier)}


@pytest.mark.needs("processes")
def test_a_path_that_no_system_knows_is_a_finding(copied: Path, verifier: ModuleType) -> None:
    with open(copied / "manifest-sha256.txt", "a", encoding="utf-8") as manifest:
        manifest.write(f"{'0' * 64}  data/a\0b\n")
    assert ("manifest-sha256.txt", "a line of the manifest cannot be read") in wrong(verifier)


@pytest.fixture
def disposed(site: Site) -> Site:
    """Its first version can be disposed of by ``forge``."""
    for text in ("old", "new"):
        site.write("f/s/gone", text)
        site.catch_up()
    return site


def test_a_signed_certificate_explains_what_its_versions_lack(disposed: Site) -> None:
    forge(disposed)
    disposed.run("audit", "--to", "package")
    done = run(disposed.root / "package", "--lang", "en")
    assert done.returncode == 0, done.stdout
    assert "files deleted in disposals, as certified: 1" in done.stdout


@pytest.mark.parametrize("flaw", ["uncertified", "unsigned", "other version"])
def test_no_other_certificate_explains_missing_content(disposed: Site, flaw: str) -> None:
    """The list of a version is not signed: whoever makes a package writes any reason into it."""
    forge(disposed, **({} if flaw == "other version" else {flaw: True}))
    disposed.run("audit", "--to", "package")
    package = disposed.root / "package"
    name = "data/versions/f/s/v1.jsonl"
    if flaw == "other version":
        name = "data/versions/f/s/v2.jsonl"
        (row,) = map(json.loads, (package / name).read_text("utf-8").splitlines())
        (package / row["file"]).unlink()
        manifest = package / "manifest-sha256.txt"
        lines = manifest.read_text("utf-8").splitlines(keepends=True)
        manifest.write_text("".join(line for line in lines if row["file"] not in line), "utf-8")
        row |= {"file": None, "why": "disposed of under certificate D1"}
        (package / name).write_text(json.dumps(row) + "\n", "utf-8")
        rehash(package, name)
    done = run(package, "--lang", "en")
    assert done.returncode == 1, done.stdout
    assert f"{name}: no valid certificate of destruction explains why a file is missing: gone" in done.stdout


@pytest.mark.needs("processes")
def test_a_witness_line_tells_this_archive_from_a_forgery(package: Path, tmp_path: Path) -> None:
    line = next(each for each in run(package).stdout.splitlines() if "archiver-witness" in each).strip()
    assert run(package, "--witness", line).returncode == 0
    words = line.split()
    for number, other in ((2, "0" * 16), (3, "1"), (4, "0" * 64), (0, "witness")):
        forged = " ".join([*words[:number], other, *words[number + 1 :]])
        assert run(package, "--witness", forged).returncode == 1
    assert run(package, "--witness", "").returncode == 1


# RFC 8032, section 7.1: secret key left out, public key, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.needs("processes")
@pytest.mark.parametrize(("public", "message", "signature"), VECTORS)
def test_the_signature_check_is_that_of_rfc_8032(
    verifier: ModuleType, public: str, message: str, signature: str
) -> None:
    key, text, good = (bytes.fromhex(each) for each in (public, message, signature))
    assert verifier.ed25519_verify(key, text, good)
    assert not verifier.ed25519_verify(key, text + b"x", good)
    for place in (0, 31, 32, 63):
        bad = bytearray(good)
        bad[place] ^= 1
        assert not verifier.ed25519_verify(key, text, bytes(bad))
    high = good[:32] + (int.from_bytes(good[32:], "little") + verifier.ORDER).to_bytes(32, "little")
    assert not verifier.ed25519_verify(key, text, high), "a second form of the same signature"


@pytest.mark.needs("git-lfs", "ssh-keygen")
def test_the_commands_that_the_package_prints_work(copied: Path) -> None:
    text = (copied / "README.txt").read_text("utf-8")
    commands = [line.strip() for line in text.splitlines() if re.match(r"    (git|python3) ", line)]
    assert len(commands) == 7
    env = {
        **os.environ,
        "HOME": os.fspath(copied.parent),
        "GIT_CONFIG_GLOBAL": os.fspath(copied.parent / "gitconfig"),
    }
    subprocess.run(["git", "lfs", "install", "--skip-repo"], env=env, check=True, capture_output=True)
    for command in commands:
        line = command.replace("SUBMITTED-TAG", "g/s/submitted").replace("TAG", "g/s/v2")
        done = subprocess.run(["bash", "-c", line], cwd=copied, env=env, capture_output=True, text=True)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    clone = copied.parent / "clone"
    assert (clone / "materials/g").exists() is False
    assert (clone / "materials/它").read_text() == "1"
    assert (clone / "materials/new").read_text() == "3"
    assert run(copied).returncode == 0, "nothing was left in the package"


@pytest.mark.needs("processes")
def test_the_same_archive_and_choice_give_the_same_bytes(tmp_path: Path) -> None:
    site = Site(tmp_path / "site").init()
    for number in range(30):
        site.write(f"f/s{number % 2}/文件{number}", f"{number}" * number)
    site.catch_up()
    site.run("submit", "f/s0", "--on", "2026-01-01")
    # Else each export would make a checkpoint of its own.
    site.run("checkpoint")
    shutil.copytree(site.archive, site.root / "copy")
    site.run("audit", "--to", "one")
    shutil.rmtree(site.archive)
    (site.root / "copy").rename(site.archive)
    site.run("audit", "--to", "two")
    own = {"export.json", "tagmanifest-sha256.txt"}
    for path in (site.root / "one").rglob("*"):
        name = path.relative_to(site.root / "one")
        if path.is_file() and name.name not in own:
            assert path.read_bytes() == (site.root / "two" / name).read_bytes(), name


@pytest.mark.needs("processes")
def test_what_is_sensitive_goes_along_only_when_somebody_says_so(tmp_path: Path) -> None:
    site = Site(tmp_path / "site").init()
    site.configure(sensitive={"patterns": ["*身份证*"]})
    site.write("f/s/法人身份证.png", "scan")
    site.write("f/s/报告", "text")
    site.catch_up()
    for target, arguments, there in (("one", [], False), ("two", ["--with-sensitive"], True)):
        site.run("audit", "--to", target, *arguments)
        assert any(path.name == "法人身份证.png" for path in (site.root / target).rglob("*")) is there
        assert run(site.root / target).returncode == 0
        event = json.loads(site.git("show", "journal:body.json").stdout)
        assert event["details"]["sensitive"] == ([] if there else ["*身份证*"])


@pytest.mark.needs("processes")
def test_choices_and_what_is_left_out(tmp_path: Path) -> None:
    site = Site(tmp_path / "site").init()
    for path in ("f/首次/身份证.png", "f/首次/报告", "f/补正/身份证.png", "g/首次/报告"):
        site.write(path, path)
    site.catch_up()
    site.run("submit", "f/首次", "--on", "2026-01-01")
    site.run("submit", "f/补正", "--on", "2026-01-02")
    site.run(
        "audit",
        "--to",
        "one",
        "--filing",
        "f",
        "--without",
        "身份证*",
        "--recipient",
        "网信办",
        "--reason",
        "抽查",
    )
    rows = [
        json.loads(line)
        for path in sorted((site.root / "one/data/versions").rglob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    assert sorted((row["path"], row["file"] is None, row["why"]) for row in rows) == [
        ("报告", False, None),
        ("身份证.png", True, "omitted: 身份证*"),
        ("身份证.png", True, "omitted: 身份证*"),
    ]
    done = run(site.root / "one", "--lang", "en")
    assert done.returncode == 0, done.stdout
    assert "each with its reason: 2" in done.stdout
    assert not any("身份证" in path.name for path in (site.root / "one/data/materials").rglob("*"))
    event = json.loads(site.git("show", "journal:body.json").stdout)
    assert (event["details"]["recipient"], event["details"]["without"]) == ("网信办", ["身份证*"])
    for arguments, tags in (
        (["--kind", "correction"], {"f/补正/v1"}),
        (["--submission", "g/首次"], {"g/首次/v1"}),
        (["--expand"], {"f/首次/v1", "f/补正/v1", "g/首次/v1"}),
    ):
        site.run("audit", "--to", "-".join(arguments).strip("-").replace("/", "_"), *arguments)
        folder = site.root / "-".join(arguments).strip("-").replace("/", "_")
        assert {each["tag"] for each in json.loads((folder / "data/versions.json").read_text())} == tags
        assert run(folder).returncode == 0
    site.run("audit", "--to", "x", "--submission", "g/none", code=7)
