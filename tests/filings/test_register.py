"""The register is what its events say; deadlines follow from it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from archiver.filings.code_names import deadline_state_name
from archiver.filings.due.deadlines import (
    DONE,
    DONE_LATE,
    OVERDUE,
    TODAY,
    Deadline,
    compute_deadlines,
    compute_open_deadlines,
)
from archiver.filings.due.reminders import MANAGER, OWNER, describe_deadline, select_pending_messages
from archiver.filings.due.rules import DEADLINE_RULES, DUTY_SENTENCES, rule_in_force
from archiver.filings.notice_parser import parse_notice
from archiver.filings.register import Filing, filings_from_events
from archiver.filings.register_codes import STATES
from archiver.i18n import translator
from archiver.model import LifeEvent

NAME = "推荐"
NUMBER = "网信算备110108823483901230031号"


def event(seq: int, action: str, **details: Any) -> LifeEvent:
    return LifeEvent(seq, f"2026-01-01T00:00:{seq:02}.000000Z", "li", action, NAME, details)


def submit(seq: int, on: str, kind: str = "first", number: str | None = None) -> LifeEvent:
    tag = f"{NAME}/{seq}/submitted"
    return event(
        seq, "submit", tag=tag, version=f"{NAME}/{seq}/v1", on=on, kind=kind, number=number, by=None, receipt=None
    )


def settings(seq: int, on: str, status: str | None = None, **fields: str) -> LifeEvent:
    more = {"status": status, "portal_text": "原文"} if status else {}
    return event(seq, "filing-set", fields=fields, on=on, **more)


def notice(
    seq: int, number: int, kind: str, received: str, due: str | None = None, days: int | None = None
) -> LifeEvent:
    return event(
        seq, "notice", number=number, kind=kind, issuer="", document="", received=received, due=due, days=days,
        owner="", file=None, sha256=None,
    )  # fmt: skip


def states(*events: LifeEvent) -> list[str]:
    return [filings_from_events(events[: n + 1])[NAME].state for n in range(len(events))]


def dues(*events: LifeEvent) -> dict[str, Deadline]:
    return {due.uid.partition(":")[2]: due for due in compute_deadlines(filings_from_events(events).values())}


def test_the_states_of_a_life() -> None:
    assert states(
        submit(1, "2026-02-10"),
        settings(2, "2026-02-12", "under_review"),
        notice(3, 1, "correction", "2026-02-20"),
        submit(4, "2026-02-25", "correction"),
        settings(5, "2026-03-20", number=NUMBER, issued_on="2026-03-19"),
        submit(6, "2026-09-01", "change"),
        settings(7, "2026-09-20", "filed"),
        submit(8, "2027-01-05", "deregistration"),
        event(9, "filing-end", on="2027-01-20", reason="x", by=None),
    ) == [
        "submitted",
        "under_review",
        "returned",
        "resubmitted",
        "filed",
        "change_pending",
        "filed",
        "deregistration_pending",
        "deregistered",
    ]


def test_deadlines_of_a_review() -> None:
    found = dues(submit(1, "2026-09-18"))
    assert found[f"review:{NAME}/1/submitted"].due_on == date(2026, 11, 5)
    assert found[f"check:{NAME}/1/submitted"].due_on == date(2026, 9, 21)
    looked = dues(submit(1, "2026-09-18"), settings(2, "2026-09-21", "under_review"))
    assert looked[f"check:{NAME}/1/submitted"].due_on == date(2026, 9, 23)
    assert not dues(submit(1, "2026-09-18"), settings(2, "2026-10-20", "filed"))


def test_deadlines_of_notices() -> None:
    found = dues(
        notice(1, 1, "correction", "2026-09-28"),
        notice(2, 2, "inquiry", "2026-09-28", days=10),
        notice(3, 3, "correction", "2026-09-28", due="2026-10-03"),
        notice(4, 4, "inspection", "2026-09-28"),
        notice(5, 5, "revocation", "2026-09-28"),
        event(6, "notice-answer", number=1, submission=f"{NAME}/x", on="2026-10-13"),
    )
    assert {uid: (due.due_on.isoformat(), due.basis) for uid, due in found.items()} == {
        "notice:1": ("2026-10-10", "policy"),
        "notice:2": ("2026-10-16", "stated"),
        "notice:3": ("2026-10-03", "stated"),
        "notice:4": ("2026-09-28", "policy"),
    }
    assert found["notice:1"].state(date(2026, 10, 20)) == DONE_LATE
    assert found["notice:2"].state(date(2026, 10, 16)) == TODAY
    assert found["notice:2"].state(date(2026, 10, 17)) == OVERDUE
    assert found["notice:4"].state(date(2026, 9, 28)) == TODAY


def test_deadlines_of_a_service_a_number_and_a_change() -> None:
    question = event(
        5, "change-question", number=1, since="t", first="2026-04-28", kinds=[], materials=[], signal=""
    )
    decision = event(6, "change-decision", number=1, material=True, reason="x", on="2026-05-06", by=None)
    display = event(
        4, "display-check", on="2026-04-29", source="u", number_found=True, link_found=True, problem=""
    )
    start = [
        settings(1, "2026-02-11", service_start="2026-02-10"),
        submit(2, "2026-03-03"),
        settings(3, "2026-04-28", number=NUMBER, issued_on="2026-04-28"),
        display,
    ]
    found = dues(*start, question)
    assert (found["start"].due_on, found["start"].state(date(2026, 4, 1))) == (date(2026, 3, 2), DONE_LATE)
    assert found[f"display:{NUMBER}"].state(date(2026, 5, 30)) == DONE
    assert found["change:1:decide"].due_on == date(2026, 5, 14)
    decided = dues(*start, question, decision)
    assert decided["change:1"].due_on == date(2026, 5, 14)
    assert decided["change:1"].done_on is None
    assert dues(*start, question, decision, submit(7, "2026-05-12", "change"))["change:1"].done_on == date(
        2026, 5, 12
    )
    ended = dues(*start, settings(8, "2026-09-18", service_end="2026-09-18"))
    assert ended["end"].due_on == date(2026, 10, 22)


words = st.sampled_from(["submit", "filing-set", "filing-end", "notice", "change-question", "reminder", "unknown"])


@given(
    st.lists(words, max_size=30),
    st.lists(st.dates(date(2026, 1, 1), date(2026, 12, 31)), min_size=30, max_size=30),
)
def test_any_order_of_events_gives_a_register(actions: list[str], on: list[date]) -> None:
    made = {
        "submit": lambda n: submit(n, on[n].isoformat(), ["first", "correction", "change", "other"][n % 4]),
        "filing-set": lambda n: settings(n, on[n].isoformat(), STATES[n % len(STATES)]),
        "filing-end": lambda n: event(n, "filing-end", on=on[n].isoformat(), reason="x", by=None),
        "notice": lambda n: notice(n, n, "correction", on[n].isoformat()),
        "change-question": lambda n: event(
            n, "change-question", number=n, since="", first=on[n].isoformat(), kinds=[], materials=[], signal=""
        ),
        "reminder": lambda n: event(n, "reminder", to="owner", channel=0, items=[]),
        "unknown": lambda n: event(n, "unknown"),
    }
    filings = filings_from_events([made[action](n) for n, action in enumerate(actions)])
    for filing in filings.values():
        assert filing.state in STATES
    uids = [due.uid for due in compute_deadlines(filings.values())]
    assert len(uids) == len(set(uids)), "a calendar would lose one of two with the same name"


def test_a_date_that_only_this_program_suggests_makes_nobody_late() -> None:
    """To an inspector, "overdue" is an admission; the state in JSON stays, because programs compare it."""
    late = date(2027, 1, 1)
    stated = notice(2, 2, "correction", "2026-09-28", due="2026-10-16")
    found = dues(notice(1, 1, "correction", "2026-09-28"), stated)
    assert [found[f"notice:{n}"].state(late) for n in (1, 2)] == ["overdue", "overdue"]
    lines = [str(describe_deadline(found[f"notice:{n}"], late)).partition(", ")[2] for n in (1, 2)]
    assert lines == ["suggested date 2026-10-10 [past the suggested date]", "due 2026-10-16 [overdue]"]
    chinese = translator("zh")
    assert "逾期" not in chinese(describe_deadline(found["notice:1"], late))
    assert "逾期" not in chinese(deadline_state_name("done late", "policy"))
    assert "逾期" in chinese(deadline_state_name("done late", "statute"))


def test_the_rules_are_whole() -> None:
    assert {each.key for each in DEADLINE_RULES} <= set(DUTY_SENTENCES)
    assert rule_in_force("change", date(2020, 1, 1)).working_days == 10


def test_each_step_is_told_once_to_those_whom_it_concerns() -> None:
    filing = filings_from_events([notice(1, 1, "correction", "2026-09-28", due="2026-10-16")])[NAME]
    sent: list[LifeEvent] = []
    told = []
    for n in range(30):
        today = date(2026, 9, 28) + timedelta(days=n)
        for message in select_pending_messages([filing], sent, today, {"owner": ["o"], "manager": ["m"]}):
            items = [{"uid": item.uid, "step": item.step} for item in message.reminders]
            sent.append(
                event(10 + len(sent), "reminder", to=message.recipient, channel=message.address_index, items=items)
            )
            told.append((today.isoformat()[5:], message.recipient, message.reminders[0].step.partition(":")[0]))
    assert told[:8] == [
        ("10-08", OWNER, "early"),
        ("10-13", OWNER, "soon"),
        ("10-15", MANAGER, "last"),
        ("10-15", OWNER, "last"),
        ("10-17", MANAGER, "overdue"),
        ("10-17", OWNER, "overdue"),
        ("10-18", MANAGER, "overdue"),
        ("10-18", OWNER, "overdue"),
    ]


def test_a_person_with_an_address_gets_their_own_matters() -> None:
    filing = Filing(NAME, {"responsible": "张三"})
    filing.notices = filings_from_events([notice(1, 1, "inquiry", "2026-09-28", due="2026-09-30")])[NAME].notices
    roles = {
        message.recipient
        for message in select_pending_messages(
            [filing], [], date(2026, 9, 29), {"owner": ["o"], "manager": ["m"], "张三": ["z"]}
        )
    }
    assert roles == {"张三", MANAGER}
    assert len(compute_open_deadlines([filing])) == 1


def test_what_a_notice_seems_to_say() -> None:
    found = parse_notice(
        [
            "关于推荐算法的补正通知",
            "网信办〔2026〕15号",
            "贵公司 2026年9月18日 提交的备案材料（网信算备110108823483901230031号）需要补正，",
            "请于2026年10月16日前提交补正材料。 2026 年 9 月 28 日",
        ],
        ["推荐算法", "其他算法"],
    )
    assert (found.kind, found.received_on, found.due_on) == ("correction", date(2026, 9, 28), date(2026, 10, 16))
    assert found.document_number == "网信办〔2026〕15号"
    assert found.filing_number == NUMBER
    assert found.filing_names == ("推荐算法",)
    assert parse_notice(["收到之日起十五个工作日内答复"], []).working_days == 15
    assert parse_notice(["5 个工作日内"], []).working_days == 5


@given(st.lists(st.text(max_size=60), max_size=10))
def test_any_text_can_be_proposed_from(lines: list[str]) -> None:
    parse_notice(lines, ["推荐"])
