"""Find the part of the configured retention that nobody has accepted yet, and check an acceptance. Pure.

A *promise* is a retention in the journal, which nothing shortens.  A longer retention in the settings *waits*
until a person accepts it, and binds until then only while it stands in the settings.
"""

from __future__ import annotations

import hashlib
import secrets
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

#: The longest period that is accepted without typing its years. Lower, and the periods of statutes, up to 10
#: years, need it, and people type without reading. Higher, and a wrong digit binds for decades.
UNCONFIRMED_YEARS = 10

#: The warning of ``status`` and of the service's log.
WAITING = LazyMessage.define(
    "a longer retention in the settings waits for acceptance; to see it, run: archiver retention show",
    code="status.promise-waiting",
)


class RetentionItem(NamedTuple):
    """A single retention that is promised, or waits for acceptance."""

    kind: PromiseKind
    #: The scope of a period, empty for everything; or the name of a time zone.
    name: str = ""
    #: Calendar years; 0 unless the item is a period.
    years: int = 0

    @property
    def scope_name(self) -> str | LazyMessage:
        """The scope of the retention, for people."""
        scope = self.name if self.kind is PromiseKind.PERIOD else ""
        return scope or LazyMessage("everything")

    @property
    def description(self) -> LazyMessage:
        """The retention itself, for people."""
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
        """Return the item of which :meth:`as_json` made ``document``, which may have more members."""
        name = document["scope"] or document["timezone"] or ""
        return cls(PromiseKind(document["kind"]), name, document["years"] or 0)

    def as_json(self) -> dict[str, Any]:
        """Return the item for ``--json`` of ``status`` and ``retention``; what does not apply to it is None."""
        is_period = self.kind is PromiseKind.PERIOD
        return {
            "kind": str(self.kind),
            "scope": self.name if is_period else None,
            "years": self.years if is_period else None,
            "timezone": self.name if self.kind is PromiseKind.TIME_ZONE else None,
        }


class WaitingPromise(NamedTuple):
    """All configured retention waiting for acceptance."""

    #: Never empty. Periods first, that of everything before all others.
    items: tuple[RetentionItem, ...]
    #: Years, time zone and rule for everything, as the settings and the promises make them together.
    general_years: int
    timezone: str
    hold_while_live: bool

    @property
    def promise_id(self) -> str:
        """The digest of the items: a person accepts exactly the items shown."""
        items = [[item.kind, item.name, item.years] for item in self.items]
        return f"sha256:{hashlib.sha256(encode_canonical({'items': items})).hexdigest()}"

    @property
    def longest_years(self) -> int:
        """The longest period that waits; 0 if no period does."""
        return max(item.years for item in self.items)

    def draft_events(self) -> list[RetentionPromised]:
        """Return the details of the events that make the promise, to be journalled in one batch."""
        from archiver.store.events.archive_events import RetentionPromised

        promise = RetentionPromised(
            retention_years=self.general_years, timezone=self.timezone, hold_while_live=self.hold_while_live
        )
        years_by_scope = {item.name: item.years for item in self.items if item.kind is PromiseKind.PERIOD}
        return _split_by_filing(promise, {scope: years for scope, years in years_by_scope.items() if scope})


def combine_with_promise(promises: Promises, promise: RetentionPromise) -> Promises:
    """Return the promises after an event with ``promise``, as the index has them then."""
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

    A period that a promise for more than its scope covers, or a longer one that waits, promises nothing.
    """
    policy = policy_in_force(config, promises)
    years_by_scope = {
        scope: max(profile.years for profile in profiles) for scope, profiles in policy.profiles_by_scope.items()
    }
    items = [
        RetentionItem(PromiseKind.PERIOD, scope, years)
        for scope, years in sorted(years_by_scope.items())
        if years > max(promises.years.get(scope, 0), _years_around(scope, years_by_scope))
    ]
    if config.timezone not in promises.zones:
        items.append(RetentionItem(PromiseKind.TIME_ZONE, config.timezone))
    if config.hold_while_live and not promises.live:
        items.append(RetentionItem(PromiseKind.WHILE_LIVE))
    if not items:
        return None
    return WaitingPromise(tuple(items), years_by_scope[""], config.timezone, policy.hold_while_live)


def _years_around(scope: str, years_by_scope: Mapping[str, int]) -> int:
    """Return the longest period of the scopes that contain ``scope``; 0 for the scope of everything."""
    if not scope:
        return 0
    filing_name, has_submission, _ = scope.partition("/")
    years_of_filing = years_by_scope.get(filing_name, 0) if has_submission else 0
    return max(years_by_scope.get("", 0), years_of_filing)


def _split_by_filing(promise: RetentionPromised, years_by_scope: Mapping[str, int]) -> list[RetentionPromised]:
    """Return the promise of everything, and one for each filing with scopes, as each goes to another chain."""
    scopes_by_filing: dict[str, dict[str, int]] = {}
    for scope, years in years_by_scope.items():
        filing_folder = names.name_from_text(scope.split("/", 1)[0])
        scopes_by_filing.setdefault(names.ref_component(filing_folder), {})[scope] = years
    act = secrets.token_hex(16) if scopes_by_filing else None
    return [
        replace(promise, act=act),
        *(
            replace(promise, scopes=scopes, filing=filing_name, act=act)
            for filing_name, scopes in sorted(scopes_by_filing.items())
        ),
    ]


def needs_typed_years(waiting: WaitingPromise) -> bool:
    """Return True if the promise is long enough for a person to have to type the years."""
    return waiting.longest_years > UNCONFIRMED_YEARS


def check_typed_years(waiting: WaitingPromise, typed_years: int | None) -> None:
    """Raise UsageError unless ``typed_years`` are the longest years that wait.

    None is accepted for a promise that need not be confirmed (:func:`needs_typed_years`).
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
