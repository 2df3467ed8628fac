"""Numbers as people read them: times, rates, counts with their noun, and the first names of a long list."""

from __future__ import annotations

from collections.abc import Sequence


def duration(seconds: float) -> str:
    """A time in at most two units: `3.1 s`, `42 s`, `4 min 26 s`, `2 h 5 min`, `1,234 h`."""
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s" if seconds else "0 s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if seconds < 3599.5:
        return _two(round(seconds), 60, "min", "s")
    minutes = round(seconds / 60)
    return _two(minutes, 60, "h", "min") if minutes < 6000 else f"{seconds / 3600:,.0f} h"


def _two(value: int, size: int, large: str, small: str) -> str:
    whole, rest = divmod(value, size)
    return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"


def rate(a_second: float) -> str:
    """How often something happens, in a unit that leaves a number above one: `2.3 a second`, `14 an hour`."""
    units = ((1, "a second"), (60, "a minute"), (3600, "an hour"))
    value, unit = next(
        ((a_second * factor, unit) for factor, unit in units if a_second * factor >= 0.95 or factor == 3600)
    )
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:,.0f} {unit}"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 video`, `1,101 videos`. `plural` is for nouns that do not just get an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def listed(names: Sequence[str], most: int = 10, shown: int = 3) -> list[str]:
    """The names themselves if they are at most `most`, else the first few and `… and 997 more`."""
    if len(names) <= most:
        return list(names)
    return [*names[:shown], f"… and {len(names) - shown:,} more"]
