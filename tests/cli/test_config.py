"""``archiver config``: what an admin asks before a reload, and which settings are in force."""

from __future__ import annotations

import json
from typing import Any

from archiver.config.schema import declared_settings
from archiver.config.settings import Config
from tests.support.site import Site


def warnings(site: Site) -> list[tuple[str, str]]:
    return [(each["code"], each["message"]) for each in site.json("config", "check")["warnings"]]


def test_a_new_file_is_valid(site: Site) -> None:
    done = site.run("config", "check")
    assert (done.stdout.count("\n"), done.stderr) == (1, "")
    assert f"{site.config} is valid" in done.stdout
    assert "systemctl reload archiver" in done.stdout
    answer = site.json("config", "check")
    assert answer == {"path": str(site.config), "ok": True, "problems": [], "warnings": []}


def test_every_problem_is_named_and_counted(site: Site) -> None:
    site.set("watch", "scan_minutes", 0)
    site.set("retention", "years", 2)
    site.configure(evidence={"dril_days": 3}, store={"local": "cache"})
    done = site.run("config", "check", code=3)
    assert done.stdout == ""
    for problem in (
        "watch.scan_minutes must be a number, at least 0.01",
        "retention.years is 2, but filing materials must be retained for at least 3 years",
        "evidence.dril_days is not a known setting (did you mean evidence.drill_days?)",
        "has 3 errors",
        # Of an earlier release: a warning, which has to be seen beside the problems.
        "[store] is no longer used",
    ):
        assert problem in done.stderr
    answer = site.json("config", "check", code=3)
    assert [(each["code"], each["key"]) for each in answer["problems"]] == [
        ("unknown-setting", "evidence.dril_days"),
        ("invalid-value", "watch.scan_minutes"),
        ("invalid-value", "retention.years"),
    ]
    assert [each["code"] for each in answer["warnings"]] == ["removed-table"]
    assert answer["ok"] is False


def test_what_no_settings_can_be_read_from_is_refused_as_by_every_command(site: Site) -> None:
    for text, code in (("years =", 3), (f'[archive]\npath = "{site.watch}/a"\n[watch]\npath = "{site.watch}"', 3)):
        site.config.write_text(text, "utf-8")
        refused = site.run("log", code=code).stderr
        assert site.run("config", "check", code=code).stderr == refused
        assert site.run("config", "show", code=code).stderr == refused
    site.config.unlink()
    assert "does not exist" in site.run("config", "check", code=2).stderr


def test_a_layout_that_the_archive_was_not_made_for_is_a_problem(site: Site) -> None:
    site.set("watch", "layout", '"{filing}"')
    answer = site.json("config", "check", code=3)
    assert [(each["code"], each["key"]) for each in answer["problems"]] == [("wrong-layout", "watch.layout")]
    assert "{filing}/{submission}" in site.run("config", "check", code=3).stderr


def test_a_retention_that_waits_for_acceptance_is_announced_until_it_is_accepted(bare_site: Site) -> None:
    site = bare_site
    site.config.write_text(
        f'[archive]\npath = "{site.archive}"\n[watch]\npath = "{site.watch}"\n[retention]\nhold_while_live = false\n'
    )
    site.init()
    assert warnings(site) == []
    site.set("retention", "hold_while_live", "true")
    site.set("retention", "years", 5)
    site.set("retention", "timezone", '"UTC"')
    submissions = {"首次": ["cn-archive-permanent"]}
    site.configure(filings={"推荐": {"profiles": ["cn-archive-10"], "submissions": submissions}})
    site.write("推荐/首次/a", "1")
    # The service makes no promise of them.
    site.catch_up()
    assert [code for code, _ in warnings(site)] == ["new-promise"] * 5
    for command in (("config", "check"), ("config", "show")):
        shown = site.run(*command).stderr
        for promise in (
            "Not accepted yet: everything (5 years). Once accepted, it cannot be shortened.",
            "Not accepted yet: 推荐 (10 years)",
            "Not accepted yet: 推荐/首次 (permanent)",
            "Not accepted yet: everything (days end in the time zone UTC)",
            "Not accepted yet: everything (while the filing is live)",
            "run: archiver retention accept",
        ):
            assert promise in shown
    assert site.json("config", "show")["warnings"] == site.json("config", "check")["warnings"]
    site.run("retention", "accept", "--years", 10_000)
    assert warnings(site) == site.json("config", "show")["warnings"] == []
    assert site.run("config", "show").stderr == ""


def test_a_file_that_is_named_and_missing_is_a_warning(site: Site) -> None:
    site.configure(reminders={"targets": "no-targets.toml"}, replica={"credentials": "keys", "ca": "ca.pem"})
    (site.root / "keys").touch()
    shown = site.run("config", "check").stderr
    assert f"reminders.targets names {site.root}/no-targets.toml, which does not exist" in shown
    assert "replica.ca names" in shown
    assert "replica.credentials" not in shown


def test_a_file_is_checked_before_there_is_an_archive(bare_site: Site) -> None:
    bare_site.config.write_text(
        f'[archive]\npath = "{bare_site.archive}"\n[watch]\npath = "{bare_site.watch}"\n', "utf-8"
    )
    assert warnings(bare_site) == [
        ("missing-file", f"archive.path names {bare_site.repository}, which does not exist.")
    ]


def shown_settings(site: Site) -> dict[str, dict[str, Any]]:
    return {each["key"]: each for each in site.json("config", "show")["settings"]}


def test_each_setting_is_shown_with_its_source(site: Site) -> None:
    site.configure(
        display={"every_days": 7}, metrics={"listen": "[::1]:9750"}, filings={"推荐": {"pages": ["https://a"]}}
    )
    settings = shown_settings(site)
    assert {setting.key for setting in declared_settings(Config)} <= settings.keys()
    assert settings["evidence.drill_days"] == {
        "key": "evidence.drill_days",
        "value": 30,
        "source": "default",
        "default": 30,
        "effect": "reload",
    }
    # Said in the file, although it is the default.
    assert settings["display.every_days"]["source"] == "file"
    assert settings["archive.path"]["value"] == str(site.archive)
    assert settings["archive.path"]["effect"] == "restart"
    assert settings["metrics.listen"]["value"] == "[::1]:9750"
    assert settings["reminders.targets"]["value"] is None
    assert settings["filings.推荐.pages"] == settings["filings.推荐.pages"] | {
        "value": ["https://a"],
        "source": "file",
    }
    assert settings["filings.推荐.signals"]["source"] == "default"
    lines = site.run("config", "show").stdout.splitlines()
    assert lines[0].split() == ["Setting", "Source", "Value"]
    assert len(lines) == len(settings) + 1
    assert ["display.every_days", "file", "7"] in [line.split() for line in lines]


def test_no_secret_is_shown(site: Site) -> None:
    """Neither what stands in addresses, nor what stands in the files of secrets."""
    secret = "s3cr3t"
    for name in ("targets.toml", "bucket-keys"):
        (site.root / name).write_text(f'owner = ["mailto://u:{secret}@example.com"]\n')
    site.configure(
        timestamp={"url": f"https://tsa.example.com/?key={secret}"},
        reminders={"targets": "targets.toml"},
        replica={
            "endpoint": f"https://user:{secret}@s3.example.com:9000/x",
            # An "@" in a password has to be escaped, and not everybody knows.
            "proxy": f"http://user:p@{secret}@proxy.example.com:3128",
            "credentials": "bucket-keys",
        },
        filings={
            "f": {
                "pages": [f"https://user:{secret}@example.com/page?token={secret}#top"],
                "signals": [f"git:https://{secret}@example.com/code.git"],
            }
        },
    )
    settings = shown_settings(site)
    shown = json.dumps(settings) + site.run("config", "show").stdout + site.run("config", "check").stdout
    assert secret not in shown
    assert settings["replica.endpoint"]["value"] == "https://***@s3.example.com:9000/x"
    assert settings["replica.proxy"]["value"] == "http://***@proxy.example.com:3128"
    assert settings["timestamp.url"]["value"] == "https://tsa.example.com/?***"
    assert settings["filings.f.pages"]["value"] == ["https://***@example.com/page?***#top"]
    assert settings["replica.credentials"]["value"] == str(site.root / "bucket-keys")
    site.configure(replica={"proxy": f"user:{secret}@proxy.example.com:3128"})
    assert shown_settings(site)["replica.proxy"]["value"] == "***@proxy.example.com:3128"


def test_both_speak_the_language_that_the_file_names(site: Site) -> None:
    site.set("archive", "lang", '"zh"')
    assert "有效" in site.run("config", "check").stdout
    assert "来源" in site.run("config", "show").stdout
    site.set("watch", "scan_minutes", 0)
    refused = site.run("--lang", "zh", "config", "check", code=3).stderr
    assert "watch.scan_minutes 必须是数字，至少 0.01" in refused
    assert "1 处问题" in refused
