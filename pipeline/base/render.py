"""Prints a description: tables on a terminal, plain text elsewhere."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zskel.zsl.metrics import METRICS

_BAR = 40
_SKIPPED_SHOWN = 8
#: Names that are too long for the head of a column.
_SHORT = {"gzsl_accuracy": "GZSL", **{name: each.short for name, each in METRICS.items()}}
#: Width where there is no terminal to ask.
_PLAIN_WIDTH = 120


def stdout_console() -> Console:
    """Standard output; no colour and a fixed width unless it is a terminal."""
    terminal = sys.stdout.isatty()
    return Console(file=sys.stdout, highlight=False, soft_wrap=False, emoji=False,
                   width=None if terminal else _PLAIN_WIDTH,
                   no_color=None if terminal else True,
                   force_terminal=None if terminal else False)


def show(description: Mapping[str, Any], console: Console) -> None:
    """Prints any description: plain values first, then one block a part."""
    _title(console, f"{description['path']}: {description['kind']}")
    head = {name: value for name, value in description.items()
            if name not in ("path", "kind") and not isinstance(value, (Mapping, list))}
    _pairs(console, head)
    for name, value in description.items():
        if isinstance(value, (Mapping, list)) and value:
            _block(console, name, value)


def _block(console: Console, name: str, value: Any) -> None:
    console.print()
    _title(console, _words(name))
    special: dict[str, Callable[[Console, Any], None]] = {
        "notices": _notices, "skipped": _skipped, "checks": _checks, "identity": _identity}
    if name in special:
        special[name](console, value)
    elif isinstance(value, Mapping):
        _pairs(console, _flat({k: v for k, v in value.items() if k != "histogram"}))
        if "histogram" in value:
            _histogram(console, value["histogram"])
    elif all(isinstance(row, Mapping) for row in value):
        _table(console, value)
    else:
        console.print(escape(", ".join(map(str, value))))


def _notices(console: Console, notices: Sequence[Mapping[str, str]]) -> None:
    for notice in notices:
        console.print(escape(f"  {notice['text']}"), style="bold yellow", soft_wrap=True)


def _pairs(console: Console, values: Mapping[str, Any]) -> None:
    wide = max((len(_words(name)) for name in values), default=0)
    for name, value in values.items():
        line = f"  {_words(name):<{wide}}  {_text(name, value)}"
        console.print(escape(line), soft_wrap=True)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested names joined by dots, as ``--cfg-options`` writes them."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _table(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    for column in columns:
        numbers = all(isinstance(row.get(column), (int, float, type(None))) for row in rows)
        table.add_column(escape(_SHORT.get(column) or _words(column)), overflow="fold",
                         justify="right" if numbers else "left")
    for row in rows:
        style = "bold magenta" if str(row.get("role")).endswith("unseen") else None
        table.add_row(*(escape(_text(column, row.get(column))) for column in columns), style=style)
    console.print(table)


def _histogram(console: Console, bins: Sequence[Sequence[int]]) -> None:
    most = max(count for _, _, count in bins)
    mark = "█" if (console.encoding or "").lower().startswith("utf") else "#"
    names = [f"{low}" if low == high else f"{low}-{high}" for low, high, _ in bins]
    wide = max(map(len, names))
    for name, (_, _, count) in zip(names, bins, strict=True):
        # A bin that holds anything shows at least one mark.
        line = f"  {name:>{wide}} {count:>{len(str(most))}} {mark * -(-count * _BAR // most)}"
        console.print(line.rstrip())


def _identity(console: Console, fields: Mapping[str, Mapping[str, int]]) -> None:
    for name, counts in fields.items():
        clips = list(counts.values())
        named = not all(value.lstrip("-").isdecimal() for value in counts)
        values = ", ".join(counts) if named else _ranges([int(value) for value in counts])
        each = f"{min(clips)}" if min(clips) == max(clips) else f"{min(clips)} to {max(clips)}"
        console.print(escape(f"  {name}s: {len(counts)} ({values}), {each} clips each"))


def _ranges(values: Sequence[int]) -> str:
    """1-3, 5 for [1, 2, 3, 5]."""
    runs: list[list[int]] = []
    for value in sorted(values):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _skipped(console: Console, skipped: Sequence[Mapping[str, str]]) -> None:
    shown = [(item["name"], _without_file(item["reason"], item["name"])) for item in skipped]
    reasons = Counter(reason for _, reason in shown)
    first = {reason: name for name, reason in reversed(shown)}
    console.print(f"  {len(skipped)} in all")
    for reason, count in reasons.most_common(_SKIPPED_SHOWN):
        console.print(escape(f"  {count} x {reason} (first: {first[reason]})"))
    if len(reasons) > _SKIPPED_SHOWN:
        console.print(f"  and {len(reasons) - _SKIPPED_SHOWN} more reasons; --json lists all")


def _without_file(reason: str, name: str) -> str:
    """A reason that starts with its own file's name is shown without it."""
    head, colon, rest = reason.partition(": ")
    return rest if colon and name in head else reason


def _checks(console: Console, checks: Sequence[Mapping[str, Any]]) -> None:
    for item in checks:
        word = "passed" if item["passed"] else "FAILED"
        detail = f": {item['detail']}" if item.get("detail") else ""
        style = None if item["passed"] else "bold red"
        console.print(escape(f"  {word}  {item['check']}{detail}"), style=style)


def _title(console: Console, text: str) -> None:
    console.print(escape(text), style="bold")


def _words(name: str) -> str:
    return name if name.startswith("f_") or "." in name else name.replace("_", " ")


def _text(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        rate = name in METRICS or (0 <= value <= 1 and any(
            word in name for word in ("accuracy", "harmonic", "over_")))
        return f"{value:.2%}" if rate else f"{value:g}"
    if isinstance(value, (Mapping, list, tuple)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
