from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from archiver.errors import UsageError
from archiver.filings.filing_numbers import detect_scheme
from archiver.filings.submission_kinds import kind_from_folder
from tests.support.site import Site


@pytest.mark.parametrize(
    "number",
    [
        *("网信算备110108823483901230031号", "网信算备330110507206401230035号", "网信算备110108970550101240011号"),
        *("网信算备440305295988701230071号", "网信算备310101216601302230019号", "网信算备330109830471103220019号"),
        *("网信算备：110108823483901230031号", "网信算备: 110108823483901230031"),
    ],
)
def test_public_algorithm_numbers_fit(number: str) -> None:
    assert detect_scheme(number) == "algorithm"


@pytest.mark.parametrize(
    "number", ["Beijing-YunQue-20230821", "Jiangsu-ZhiBiaoBao-202512030061", "Heilongjiang-Landi-20241217S0001"]
)
def test_public_generative_numbers_fit(number: str) -> None:
    assert detect_scheme(number) == "generative"


@pytest.mark.parametrize(
    "number", ["", "网信算备12号", "网信算备1101088234839012300310号", "京ICP备12345678号", "x" * 50]
)
def test_other_numbers_are_refused_with_the_forms(number: str) -> None:
    with pytest.raises(UsageError, match="21 digits"):
        detect_scheme(number)


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("2026-03-首次备案", "first"), ("补正2", "correction"), ("变更-补正", "correction"), ("年度", "annual"), ("主体", "subject"),
     ("Change 3", "change"), ("注销", "deregistration"), ("抽查", "inspection"), ("最终版2", "other")],
)  # fmt: skip
def test_folder_names_tell_the_kind(folder: str, kind: str) -> None:
    assert kind_from_folder(folder.encode()) == kind


def test_submit_seals_a_version(site: Site, tmp_path: Path) -> None:
    site.write("算法/首次备案/报告.txt", "one")
    site.write("算法/共用.txt", "common")
    site.catch_up()
    receipt = tmp_path / "回执.PDF"
    receipt.write_bytes(b"%PDF receipt")
    number = "网信算备110108823483901230031号"
    site.run(
        "submit", "算法/首次备案", "--on", "2026-03-20", "--number", number, "--receipt", receipt, "--by", "林听雨"
    )
    version = site.json("log", "算法/首次备案")[0]
    tag = "算法/首次备案/submitted"
    [submitted] = version["submitted"]
    open_points = [point["code"] for point in submitted.pop("open_points")]
    assert open_points == ["check.captured-later", "check.changed-later", "check.expected-absent"]
    assert submitted == {"tag": tag, "name": tag, "on": "2026-03-20", "kind": "first", "number": number}
    # The newest event is the checkpoint that follows each handing-in.
    [event] = site.events("submit")
    assert site.events()[-2] == event
    assert event["details"]["common"] == "算法/_common/v1"
    assert event["details"]["by"] == "林听雨"
    assert event["details"]["receipt"] == "回执.PDF"
    assert event["attachments"] == [
        {
            "name": "receipt.pdf",
            "digest": "sha256:" + hashlib.sha256(b"%PDF receipt").hexdigest(),
            "size": 12,
        }
    ]
    assert site.git("show", "journal~1:receipt.pdf").stdout == "%PDF receipt"
    digest = hashlib.sha256(b"one").hexdigest()
    line = {"path": "报告.txt", "sha256": digest, "size": 3}
    manifest = json.dumps(line, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"
    assert event["details"]["manifest_sha256"] == hashlib.sha256(manifest.encode()).hexdigest()
    site.verified()


@pytest.mark.needs("ssh-keygen")
def test_stock_git_accepts_the_signed_tag(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    site.run("submit", "f/s", "--on", "2026-03-20")
    signers = site.archive / "keys" / "allowed_signers"
    options = ["-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={signers}"]
    done = site.git(*options, "verify-tag", "f/s/submitted")
    assert "Good" in done.stderr


def test_changes_after_a_submission_are_new_versions_and_shown(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    site.run("submit", "f/s", "--on", "2026-03-20")
    assert site.json("status")["changed_since_submitted"] == []
    site.write("f/s/a", "2")
    site.catch_up()
    tags = {"submitted": "f/s/submitted", "latest": "f/s/v2"}
    names = {"submitted_name": "f/s/submitted", "latest_name": "f/s/v2"}
    assert site.json("status")["changed_since_submitted"] == [tags | names]
    assert "Changed since submission: f/s/v2 (submitted: f/s/submitted)" in site.run("status").stdout
    site.run("submit", "f/s", "--on", "2026-03-21")
    assert [v["submitted"][0]["tag"] for v in site.json("log", "f/s")] == ["f/s/submitted-2", "f/s/submitted"]
    site.verified()


def test_submit_with_unsettled_changes_is_refused_unless_a_version_is_named(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    site.write("f/s/neu", "2")
    done = site.run("submit", "f/s", "--on", "2026-03-20", code=2)
    assert "f/s/neu" in done.stderr
    assert "Nothing was recorded" in done.stderr
    site.write("f/other/x", "3")
    site.run("submit", "f/s", "--on", "2026-03-20", "--version", "1")
    assert site.json("log", "f/s")[0]["submitted"]


@pytest.mark.needs("processes")
def test_numbered_submissions(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", layout="{filing}").init()
    site.write("算法/sub/a", "1")
    site.write("算法/b", "1")
    site.write("loose", "1")
    site.catch_up()
    assert site.tags() == ["算法/01/v1", "_unfiled/_common/v1"]
    site.write("算法/b", "2")
    site.catch_up()
    site.run("submit", "算法/01", "--on", "2026-03-20")
    site.write("算法/b", "3")
    site.catch_up()
    site.write("算法/b", "4")
    site.catch_up()
    assert site.tags()[:4] == ["算法/02/v2", "算法/02/v1", "算法/01/v2", "算法/01/v1"]
    assert [m["path"] for m in site.json("show", "算法/02/v1")["materials"]] == ["b", "sub/a"]
    changes = site.json("diff", "算法/01/submitted", "算法/02/v1")
    assert [(c["op"], c["path"]) for c in changes] == [("modify", "b")]
    site.verified()
    other = site.config.read_text().replace('"{filing}"', '"{filing}/{submission}"')
    site.config.write_text(other)
    assert "was created with" in site.run("run", "--once", code=3).stderr
