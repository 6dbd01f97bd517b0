"""Packages of format 2 for tests that alter them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from archiver.store import keys
from archiver.store.keys import SigningKey
from tests.audit.altered_package import AlteredPackage, ForgedJournal
from tests.support.site import Site


def make_site(folder: Path) -> Site:
    site = Site(folder / "site").init()
    for number in range(3):
        site.write(f"甲/首次/{number}", f"{number}")
        site.write(f"乙/首次/{number}", f"{number}")
        site.catch_up()
    site.run("submit", "甲/首次", "--on", "2026-03-20")
    site.run("hold", "place", "inspection", "甲", "--reason", "spot check")
    return site


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One key from the beginning to the end, so that a test that has it can sign everything."""
    site = make_site(tmp_path_factory.mktemp("plain"))
    site.run("audit", "--to", "package")
    return site


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = make_site(tmp_path_factory.mktemp("rotated"))
    site.run("key", "rotate", "--reason", "yearly")
    site.write("甲/首次/3", "3")
    site.catch_up()
    site.run("audit", "--to", "package")
    return site


@pytest.fixture
def package(plain: Site, tmp_path: Path) -> AlteredPackage:
    return copy_package(plain, tmp_path)


def copy_package(site: Site, tmp_path: Path) -> AlteredPackage:
    shutil.copytree(site.root / "package", tmp_path / "package")
    return AlteredPackage(tmp_path / "package")


@pytest.fixture
def forged(plain: Site, package: AlteredPackage) -> ForgedJournal:
    """With the archive's own key: what is found is not only that a signature is wrong."""
    return ForgedJournal(package, SigningKey(plain.archive / "keys"))


@pytest.fixture
def foreign_key(tmp_path: Path) -> SigningKey:
    keys.create_keys(tmp_path / "foreign")
    return SigningKey(tmp_path / "foreign")
