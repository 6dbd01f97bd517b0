"""What the tests of the model leave behind is removed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.model.starting_points import remove_work_folder


@pytest.fixture(scope="session", autouse=True)
def _work_folder() -> Iterator[None]:
    yield
    remove_work_folder()
