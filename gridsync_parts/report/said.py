"""Numbers and names as a report says them, in a page and in its figures."""

from __future__ import annotations

import html

from gridsync_parts.secrets import make_printable
from gridsync_parts.words import duration_text, size_text, time_text

UNITS = ((86400, "day"), (3600, "h"), (60, "min"), (1, "s"))


def safe(text: object) -> str:
    """Text that stays text on a page, whatever is in it."""
    return html.escape(make_printable(str(text)))


def label_text(text: str) -> str:
    """Text in a figure, where plotly would take some of HTML for what it means."""
    return html.escape(make_printable(text), quote=False)


def short_size(size: float) -> str:
    """Bytes as an axis has them: 4 MB."""
    return size_text(size).replace(".0 ", " ")


def size_range(bits: int) -> str:
    """The sizes that so many bits mean."""
    return f"{short_size(2.0 ** (bits - 1))} to {short_size(2.0**bits)}" if bits else "empty"


def rate_text(rate: float) -> str:
    """Bytes a second."""
    return f"{size_text(rate)}/s"


def short_rate(rate: float) -> str:
    """Bytes a second as an axis has them: 50 MB/s."""
    return rate_text(rate).replace(".0 ", " ")


def seconds_text(seconds: float) -> str:
    """How long something took, also if that was very short or long."""
    if seconds < 0.1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return duration_text(seconds) if seconds < 48 * 3600 else f"{seconds / 86400:,.1f} days"


def width_text(seconds: float) -> str:
    """How long a bin is: 10 min."""
    size, unit = next((size, unit) for size, unit in UNITS if seconds >= size or size == 1)
    return f"{seconds / size:g} {unit}{'s' * (unit == 'day' and seconds > size)}"


def moment_text(when: float) -> str:
    """A moment, to the second."""
    return time_text(int(when)).replace("T", " ").rstrip("Z")


def stamp(when: float, digits: int = 1) -> str:
    """A moment, to the tenth of a second or finer."""
    whole, rest = divmod(round(when * 10**digits), 10**digits)
    return f"{moment_text(whole)}.{rest:0{digits}}"


def counted(count: int, name: str) -> str:
    """So many of something: 1 file, 2 files."""
    return f"{count:,} {name}{'s' * (count != 1)}"
