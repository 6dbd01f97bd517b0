"""Every command says of the golden archive what it said, and writes what it wrote, byte for byte.

tests/support/golden_outputs.py lists the commands, and says how an output is changed on purpose.
"""

from __future__ import annotations

import json

import pytest

from tests.support import golden_outputs


@pytest.fixture(scope="module")
def outputs() -> dict[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", "/nonexistent")
        patch.setenv("LC_ALL", "C.UTF-8")
        return dict(golden_outputs.outputs())


def expected(name: str) -> str:
    return (golden_outputs.OUTPUTS / name).read_text("utf-8")


@pytest.mark.needs("processes")
def test_every_output_is_compared(outputs: dict[str, str]) -> None:
    assert sorted(outputs) == sorted(path.name for path in golden_outputs.OUTPUTS.iterdir())


@pytest.mark.needs("processes")
@pytest.mark.parametrize("listing", golden_outputs.LISTINGS)
def test_a_listing_says_what_it_said(outputs: dict[str, str], listing: str) -> None:
    for lang in ("en", "zh"):
        name = f"{listing}.{lang}.txt"
        assert outputs[name] == expected(name)
    if listing not in golden_outputs.WITHOUT_JSON:
        name = f"{listing}.json"
        assert json.loads(outputs[name]) == json.loads(expected(name))


@pytest.mark.needs("processes")
def test_acts_write_the_same_events(outputs: dict[str, str]) -> None:
    """One event that differs changes the digest in the next one: the first difference is the one to look at."""
    for now, was in zip(
        outputs["journal.jsonl"].splitlines(), expected("journal.jsonl").splitlines(), strict=True
    ):
        assert now == was


@pytest.mark.needs("processes")
def test_the_package_holds_the_same_files(outputs: dict[str, str]) -> None:
    assert json.loads(outputs["package.json"]) == json.loads(expected("package.json"))
