"""Find the part of the configured retention that nobody has accepted yet, and check an acceptance. Pure.

A *promise* is a retention in the journal. Nothing can shorten it. A longer retention in the settings *waits* until
a person accepts it. Until then, it is binding only as long as it stands in the settings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from archiver.config.settings import Config
from archiver.errors import LazyMessage, UsageError
from archiver.model import Promises
from archiver.profiles import PERMANENT
from archiver.retention.policy import policy_in_force
from archiver.store import names
from archiver.store.events.canonical_json import encode_canonical
from archiver.store.index.promise_rows import PromiseKind

if TYPE_CHECKING:
    from archiver.store.events.archive_events import RetentionPromise, RetentionPromised

#: The longest period, in years, that a person can accept without typing the number of years. With a lower limit,
#: people would have to type the usual periods of statutes (up to 10 years) as well, and would type without
#: reading. With a higher limit, a wrong digit could bind for decades.
UNCONFIRMED_YEARS = 10

#: The warning of ``status`` and of the service's log.
WAITING = LazyMessage.define(
    "a longer retention in the settings waits for acceptance; to see it, run: archiver retention show",
    code="status.promise-waiting",
)


class RetentionItem(NamedTuple):
    """A single period, time zone or rule of retention that is promised, or waits for acceptance."""

    kind: PromiseKind
    #: The scope of a period, empty for everything; or the name of a time zone.
    name: str = ""
    #: Calendar years; 0 unless the item is a period.
    years: int = 0

    @property
    def scope_name(self) -> str | LazyMessage:
        """The scope of the retention, as people call it."""
        scope = self.name if self.kind is PromiseKind.PERIOD else ""
        return scope or LazyMessage("everything")

    @property
    def description(self) -> LazyMessage:
        """The retention itself, described for people."""
        if self.kind is PromiseKind.TIME_ZONE:
            return LazyMessage("days end in the time zone {timezone}", timezone=self.name)
        if self.kind is PromiseKind.WHILE_LIVE:
            return LazyMessage("while the filing is live")
        if self.years >= PERMANENT:
            return LazyMessage("permanent")
        return LazyMessage.define("{years} years", singular="{years} year", count_field="years").with_fields(
            years=self.years
        )

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RetentionItem:
        """Return the item from an object that :meth:`as_json` returned; the object may have more members."""
        name = document["scope"] or document["timezone"] or ""
        return cls(PromiseKind(document["kind"]), name, document["years"] or 0)

    def as_json(self) -> dict[str, Any]:
        """Return the item for ``--json`` of ``status`` and ``retention``; a member that does not apply is None."""
        is_period = self.kind is PromiseKind.PERIOD
        return {
            "kind": str(self.kind),
            "scope": self.name if is_period else None,
            "years": self.years if is_period else None,
            "timezone": self.name if self.kind is PromiseKind.TIME_ZONE else None,
        }


class WaitingPromise(NamedTuple):
    """All configured retention that waits for acceptance."""

    #: Never empty. The periods come first, and among them the period of everything.
    items: tuple[RetentionItem, ...]
    #: The years, the time zone and the rule for everything, by the settings and the promises together.
    general_years: int
    timezone: str
    hold_while_live: bool

    @property
    def promise_id(self) -> str:
        """The digest of the items. A person accepts this digest, and so exactly the items that were shown."""
        items = [[item.kind, item.name, item.years] for item in self.items]
        return f"sha256:{hashlib.sha256(encode_canonical({'items': items})).hexdigest()}"

    @property
    def longest_years(self) -> int:
        """The longest period that waits, in years; 0 if no period waits."""
        return max(item.years for item in self.items)

    def draft_events(self) -> list[RetentionPromised]:
        """Return the details of the events that make the promise, to be journalled in one batch."""
        # Imported here, because most commands accept no promise, and start sooner without the class.
        from archiver.store.events.archive_events import RetentionPromised

        promise = RetentionPromised(
            retention_years=self.general_years, timezone=self.timezone, hold_while_live=self.hold_while_live
        )
        years_by_scope = {item.name: item.years for item in self.items if item.kind is PromiseKind.PERIOD}
        return _split_by_filing(promise, {scope: years for scope, years in years_by_scope.items() if scope})


def combine_with_promise(promises: Promises, promise: RetentionPromise) -> Promises:
    """Return ``promises`` as they are in the index after an event with ``promise`` is journalled."""
    years = dict(promises.years)
    for scope, promised_years in promise.years_by_scope.items():
        years[scope] = max(promised_years, years.get(scope, 0))
    zones = [*promises.zones, promise.timezone] if promise.timezone else promises.zones
    return promises._replace(
        years=years,
        zones=tuple(dict.fromkeys(zones)),
        live=promises.live or bool(promise.hold_while_live),
    )


def find_waiting_promise(config: Config, promises: Promises) -> WaitingPromise | None:
    """Return the configured retention beyond ``promises``; None if everything was accepted.

    A period is left out if it would change nothing: if it is no longer than the promise for its scope, or than a
    promised or waiting period for a larger scope.
    """
    policy = policy_in_force(config, promises)
    years_by_scope = {
        scope: max(profile.years for profile in profiles) for scope, profiles in policy.profiles_by_scope.items()
    }
    items = [
        RetentionItem(PromiseKind.PERIOD, scope, years)
        for scope, years in sorted(years_by_scope.items())
        if years > max(promises.years.get(scope, 0), _longest_years_around(scope, years_by_scope))
    ]
    if config.timezone not in promises.zones:
        items.append(RetentionItem(PromiseKind.TIME_ZONE, config.timezone))
    if config.hold_while_live and not promises.live:
        items.append(RetentionItem(PromiseKind.WHILE_LIVE))
    if not items:
        return None
    return WaitingPromise(tuple(items), years_by_scope[""], config.timezone, policy.hold_while_live)


def _longest_years_around(scope: str, years_by_scope: Mapping[str, int]) -> int:
    """Return the longest period of the larger scopes that contain ``scope``; 0 for the scope of everything."""
    if not scope:
        return 0
    filing_name, separator, _ = scope.partition("/")
    years_of_filing = years_by_scope.get(filing_name, 0) if separator else 0
    return max(years_by_scope.get("", 0), years_of_filing)


def _split_by_filing(promise: RetentionPromised, years_by_scope: Mapping[str, int]) -> list[RetentionPromised]:
    """Return the promise for everything, and one promise for each filing that has scopes.

    They are separate because each belongs to another chain of events, and an event must not name two filings.
    """
    scopes_by_filing: dict[str, dict[str, int]] = {}
    for scope, years in years_by_scope.items():
        filing_folder = names.name_from_text(scope.split("/", 1)[0])
        scopes_by_filing.setdefault(names.ref_component(filing_folder), {})[scope] = years
    # Commands that only read import this module, and this import takes milliseconds.
    import secrets

    act = secrets.token_hex(16) if scopes_by_filing else None
    return [
        replace(promise, act=act),
        *(
            replace(promise, scopes=scopes, filing=filing_name, act=act)
            for filing_name, scopes in sorted(scopes_by_filing.items())
        ),
    ]


def needs_typed_years(waiting: WaitingPromise) -> bool:
    """Return True if the promise is so long that a person has to type the number of years to accept it."""
    return waiting.longest_years > UNCONFIRMED_YEARS


def check_typed_years(waiting: WaitingPromise, typed_years: int | None) -> None:
    """Raise UsageError unless ``typed_years`` is the longest period that waits for acceptance, in years.

    None is also accepted if the years need not be typed, see :func:`needs_typed_years`.
    """
    longest_years = waiting.longest_years
    if typed_years == longest_years or (typed_years is None and not needs_typed_years(waiting)):
        return
    if typed_years is None:
        raise UsageError(
            "To accept a retention of more than {limit} years, its number of years is required. Nothing was "
            "recorded. To accept it, run: archiver retention accept --years {years!q}",
            limit=UNCONFIRMED_YEARS,
            years=longest_years,
        )
    raise UsageError(
        "{typed} is not the longest period that waits for acceptance, in years ({years}). Nothing was recorded. "
        "To see what waits, run: archiver retention show",
        typed=typed_years,
        years=longest_years,
    )
