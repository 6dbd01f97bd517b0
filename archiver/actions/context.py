"""What every action gets: the archive, the settings, and how long it may wait."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from archiver.config.settings import Config
from archiver.retention import disposal
from archiver.retention.policy import in_force
from archiver.store.archive import Archive


class FileName:
    """Marks the argument that names the attachment: one never comes without the other."""


class AsGiven:
    """Marks text that nobody writes into the journal as it is: a name to look up."""


#: Kinds of arguments: their types, and perhaps a mark.  Text without one is what a person typed.
TEXT, MAYBE = (str,), (str, type(None))
NAME, MAYBE_NAME = (str, AsGiven), (str, type(None), AsGiven)
FILE = (str, type(None), FileName)
Action = Callable[..., dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ActionContext:
    """What an action works on, and how many seconds it may wait for another writer."""

    archive: Archive
    config: Config
    wait_seconds: float
    attachment: IO[bytes] | None = None
    #: Told of bytes that were done, and those there are to do.
    progress: Callable[[int, int], None] = lambda _done, _total: None

    @property
    def rules(self) -> disposal.Rules:
        """Retention and cooling-off as they are in force."""
        policy = in_force(self.config, self.archive.index.promises())
        return disposal.Rules(policy, self.config.cooling_off_days)
