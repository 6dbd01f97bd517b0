"""The figures as a page for people: tables, goals, and a picture of the ratios."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable
from html import escape
from pathlib import Path

from measure import Result

_ROW, _LEFT, _WIDE = 22, 330, 900
_SHOWN = 1.5


def machine() -> str:
    """What this ran on, in words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{os.cpu_count()} processors ({platform.machine()}), {memory:.0f} GB of memory, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"


def table(result: Result) -> str:
    """One work: a row a tool."""
    lines = [f"### {result.title[0].upper()}{result.title[1:]}", ""]
    lines += [
        "| tool | seconds: median (min to max) | CPU s | peak MB | archiver / it: of medians (rounds) | goal |"
    ]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for name, runs in result.runs.items():
        seconds = result.seconds(name)
        spread = f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
        cpu = statistics.median(run.cpu for run in runs)
        peak = max(run.peak_mb for run in runs)
        lines.append(f"| {name} | {spread} | {cpu:.1f} | {peak:.0f} | {_ratio(result, name)} |")
    return "\n".join([*lines, "", *([result.note, ""] if result.note else [])])


def _ratio(result: Result, name: str) -> str:
    if name == result.ours:
        return " | "
    ratios, goal = result.ratios(name), result.goals.get(name)
    shown = f"{result.ratio(name):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    if goal is None:
        return f"{shown} | "
    return f"{shown} | {goal:g}: {'met' if result.ratio(name) <= goal else '**missed**'}"


def figures(rows: Iterable[tuple[str, str, str, bool]]) -> str:
    """Figures that have no peer: what, how much, the goal."""
    lines = ["| what | figure | goal |", "| --- | --- | --- |"]
    lines += [
        f"| {what} | {value} | {goal}{': met' if met else ': **missed**'} |" for what, value, goal, met in rows
    ]
    return "\n".join([*lines, ""])


def picture(results: Iterable[Result]) -> str:
    """Bars: how long ours takes for each second of a tool's; a mark at the goal."""
    bars = [
        (result.title.split(" (")[0], name, result.ratio(name), result.goals[name])
        for result in results
        for name in result.goals
    ]
    scale = (_WIDE - _LEFT - 60) / _SHOWN
    height = _ROW * (len(bars) + 2) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDE}" height="{height}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="15" fill="#555">time of archiver for each second of the other tool; | is the goal</text>',
    ]
    for line in (0.5, 1.0, 1.5):
        x = _LEFT + line * scale
        parts.append(
            f'<path d="M{x} {_ROW}V{height - 24}" stroke="#ccc"/><text x="{x}" y="{height - 8}" text-anchor="middle" fill="#555">{line:g}</text>'
        )
    for number, (title, name, ratio, goal) in enumerate(bars):
        y = _ROW * (number + 1) + 4
        colour = "#2f7d4f" if ratio <= goal else "#b3541e"
        # A mark beside the bar's end would go through the figure.
        length, mark = min(ratio, _SHOWN) * scale, _LEFT + min(goal, _SHOWN) * scale
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(title)} / {escape(name)}</text>'
            f'<rect x="{_LEFT}" y="{y + 2}" width="{length:.1f}" height="{_ROW - 8}" fill="{colour}"/>'
            f'<path d="M{mark:.1f} {y}v{_ROW - 4}" stroke="#000" stroke-width="2"/>'
            f'<text x="{_after(length, mark - _LEFT):.1f}" y="{y + 13}">{ratio:.2f}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def _after(length: float, mark: float) -> float:
    return _LEFT + 6 + (mark if length <= mark < length + 40 else length)


def write(target: Path, mode: str, results: list[Result], rows: list[tuple[str, str, str, bool]]) -> None:
    """Write the page and its picture."""
    target.with_suffix(".svg").write_text(picture(results), encoding="utf-8")
    text = [
        "# Benchmarks",
        "",
        f"Written by `make {mode}` on {machine()}. In every round, each tool runs once, with a new target folder; every command ends with `sync`.",
        "Compare the ratios, because seconds depend on the machine. A ratio below 1 means that `archiver` is faster.",
        "",
        f"![ratios]({target.with_suffix('.svg').name})",
        "",
        "## Against other tools",
        "",
        *map(table, results),
        "## By itself",
        "",
        figures(rows),
    ]
    notes = (Path(__file__).parent / "notes.md").read_text(encoding="utf-8")
    target.write_text("\n".join(text) + notes, encoding="utf-8")
