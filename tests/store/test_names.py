from __future__ import annotations

import subprocess
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.naming.ref_names import SHORTENED_MARK, remember_folder_name
from archiver.store import names

AWKWARD = [
    b".git", b".GIT", b".git ", b".git.", b".git::$INDEX_ALLOCATION", b"git~1", b"GIT~12", b".gitattributes",
    b".gitmodules", b".gitignore", b".lfsconfig", ".g\u200cit".encode(), b"%41", b"%", b"%+", b"%%41", b"%2Egit", b"-x",
    b" lead", b"trail.", b"new\nline", b'quo"te', b"back\\slash", "材料".encode(), "é".encode(),
    unicodedata.normalize("NFD", "é").encode(), "材料".encode("gbk"), b"\xff\xfe", b"x.lock", b"a..b", b"a@{b", b"@",
    b"_common", b"_unfiled", b"a~b^c:d?e*f[g", b"\x7f", b"x" * 255, ("备" * 83).encode(), b".hidden", b"a" * 190 + b"%" * 60,
]  # fmt: skip

component = st.one_of(
    st.sampled_from(AWKWARD),
    st.binary(min_size=1, max_size=255).filter(
        lambda b: b"/" not in b and b"\0" not in b and b not in (b".", b"..")
    ),
    st.text(alphabet=".gitATRbuesmodlfc~1 %-@{}_\u200c\ufeff备", min_size=1, max_size=20)
    .map(lambda s: s.encode())
    .filter(lambda b: b not in (b".", b"..")),
)


@given(st.binary())
def test_text_comes_back_byte_for_byte(name: bytes) -> None:
    assert names.name_from_text(names.name_as_text(name)) == name
    names.name_as_text(name).encode("utf-8")


@given(component)
def test_tree_components_come_back_byte_for_byte(name: bytes) -> None:
    assert names.path_from_tree(names.tree_path(name)) == name


@given(component, component)
def test_no_two_names_share_a_ref(one: bytes, other: bytes) -> None:
    assert (names.ref_component(one) == names.ref_component(other)) == (one == other)


@given(component, component)
def test_every_name_for_people_is_found_and_is_one_of_a_kind(one: bytes, other: bytes) -> None:
    """What is printed is typed again: it means the same folder, and nothing in it reorders the screen."""
    ref, other_ref = names.ref_component(one), names.ref_component(other)
    assert names.component_from_typed(ref.for_people) == ref
    # The digest of a shortened one cannot be decoded, so its ref form is looked up as it is.
    assert names.component_from_typed(ref) == ref or SHORTENED_MARK in ref
    assert (ref.for_people == other_ref.for_people) == (one == other)
    assert (ref.path_in_packages == other_ref.path_in_packages) == (one == other)
    assert names.make_displayable(ref.for_people) == ref.for_people
    assert not ref.for_people.startswith("-")


def test_a_name_is_called_what_it_is() -> None:
    assert names.ref_component("2024-05-20 变更".encode()).for_people == "2024-05-20 变更"
    assert names.ref_component(b"100% sure? [x]").for_people == "100% sure? [x]"
    assert names.ref_component(("备" * 83).encode()).for_people == "备" * 83
    assert names.ref_component("材料".encode("gbk")).for_people == "%B2%C4%C1%CF"
    assert names.ref_component(b"_common").for_people == "%5Fcommon"
    assert names.RefName("_unfiled/_common/v1").for_people == "_unfiled/_common/v1"


def test_a_shortened_name_that_nobody_knows_stays_as_it_is() -> None:
    """A tag of another archive, for example; and no other name is taken for it."""
    unknown = "备" * 60 + "%+0123456789abcdef"
    remember_folder_name(unknown, b"forged")
    assert names.RefName(f"{unknown}/x%20y/v1").for_people == f"{unknown}/x y/v1"


def test_chinese_stays_readable() -> None:
    assert names.ref_component("推荐算法 2026".encode()) == "推荐算法%202026"
    assert names.tree_path("附件/截图 (1).png".encode()).decode() == "附件/截图 (1).png"
    assert names.name_as_text("最终版2.docx".encode()) == "最终版2.docx"


def test_a_real_folder_with_a_reserved_name_is_not_the_reserved_one() -> None:
    assert names.ref_component(b"_common") == "%5Fcommon"
    assert names.ref_component(b"_unfiled") == "%5Funfiled"


def test_long_components_are_cut_and_stay_apart() -> None:
    one, other = ("备" * 80 + "甲").encode(), ("备" * 80 + "乙").encode()
    assert len(names.ref_component(one).encode()) <= 200
    assert "%+" in names.ref_component(one)
    assert names.ref_component(one) != names.ref_component(other)


def test_screen_lets_no_name_forge_a_line() -> None:
    assert "\n" not in names.make_displayable("a\nArchived x")
    assert "\x1b" not in names.make_displayable("\x1b[2J")
    assert names.make_displayable("材料 é") == "材料 é"


@pytest.mark.needs("processes")
def test_git_accepts_every_ref_and_tree(tmp_path: Path) -> None:
    """One repository with every awkward name as tag and as path; git itself is the judge."""
    git = ["git", f"--git-dir={tmp_path}"]
    subprocess.run([*git, "init", "-q", "--bare"], check=True)
    stream = [b"commit refs/heads/x\ncommitter a <a@b> 1 +0000\ndata 0\n"]
    for name in AWKWARD:
        quoted = "".join(f"\\{byte:03o}" for byte in names.tree_path(name)).encode()
        stream.append(b'M 100644 inline "d/%s"\ndata 1\nx\n' % quoted)
    subprocess.run([*git, "fast-import", "--quiet"], input=b"".join(stream), check=True)
    for name in AWKWARD:
        subprocess.run(
            [*git, "update-ref", f"refs/tags/{names.ref_component(name)}/v1", "refs/heads/x"], check=True
        )
    out = subprocess.run([*git, "fsck", "--full", "--strict"], capture_output=True, check=True)
    assert b"error" not in out.stderr + out.stdout
    assert b"warning" not in out.stderr + out.stdout
    listed = subprocess.run(
        [*git, "ls-tree", "-r", "-z", "--name-only", "x"], capture_output=True, check=True
    ).stdout
    assert sorted(names.path_from_tree(p)[2:] for p in listed.split(b"\0") if p) == sorted(AWKWARD)


@settings(max_examples=300)
@given(component)
def test_refs_follow_the_rules_of_git_check_ref_format(name: bytes) -> None:
    ref = names.ref_component(name)
    data = ref.encode("utf-8")
    assert 0 < len(data) <= 200
    assert unicodedata.normalize("NFC", ref) == ref
    assert not ref.startswith((".", "-"))
    assert not ref.endswith((".lock", "."))
    assert ".." not in ref
    assert "@{" not in ref
    assert not any(ord(char) < 0x21 or ord(char) == 0x7F or char in "~^:?*[\\" for char in ref)


@pytest.mark.parametrize("name", [b".git", b".gitattributes", b"git~1", b".GITIGNORE "])
def test_only_the_first_byte_is_encoded(name: bytes) -> None:
    assert names.tree_path(name) == b"%%%02X" % name[0] + name[1:]
