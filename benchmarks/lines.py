"""A line of the table: two quantities, what is made of them, and the bar it has to meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from benchmarks.rounds import Comparison


class Quantity(NamedTuple):
    """A number with its unit: ``ns``, ``B``, ``MB``, what is counted, or empty for a ratio."""

    value: float
    unit: str

    def __str__(self) -> str:
        if self.unit == "ns":
            return f"{self.value / 1000:.3g} µs"
        if self.unit == "MB":
            return f"{self.value:.1f} MB"
        if self.unit == "":
            return f"{self.value:.3g}" if self.value < 1000 else f"{self.value:,.0f}"
        return f"{self.value:,.0f} {self.unit}"


class Bar(NamedTuple):
    """What a figure must not exceed, or, with `at_least`, not fall below."""

    limit: float
    text: str
    at_least: bool = False

    def met(self, figure: float) -> bool:
        """Tell whether a figure is on the right side."""
        return figure >= self.limit if self.at_least else figure <= self.limit


@dataclass(frozen=True)
class Line:
    """One comparison of a row."""

    row: str
    what: str
    against: str = ""
    ours: Quantity | None = None
    theirs: Quantity | None = None
    figure: Quantity | None = None
    """What the bar is held against; its unit is empty if it is a ratio."""
    spread: tuple[float, float] | None = None
    """10th and 90th percentile of the ratios of the single rounds."""
    bar: Bar | None = None
    note: str = ""
    failed: bool = False

    @property
    def ok(self) -> bool | None:
        """Whether the bar is met; None where there is none."""
        if self.failed:
            return False
        if self.bar is None or self.figure is None:
            return None
        return self.bar.met(self.figure.value)

    def to_dict(self) -> dict[str, Any]:
        """Return the line for JSON; numbers are not rounded."""
        return {
            "row": self.row,
            "what": self.what,
            "against": self.against,
            "ours": _to_dict(self.ours),
            "theirs": _to_dict(self.theirs),
            "figure": _to_dict(self.figure),
            "spread": list(self.spread) if self.spread is not None else None,
            "bar": self.bar.text if self.bar is not None else None,
            "ok": self.ok,
            "note": self.note,
        }


def line_of(
    row: str,
    what: str,
    against: str,
    comparison: Comparison,
    bar: Bar | None = None,
    unit: str = "ns",
    note: str = "",
) -> Line:
    """Return the line of a comparison of samples in `unit`."""
    return Line(
        row,
        what,
        against,
        Quantity(comparison.ours, unit),
        Quantity(comparison.theirs, unit),
        Quantity(comparison.ratio, ""),
        (comparison.low, comparison.high),
        bar,
        note,
    )


def _to_dict(quantity: Quantity | None) -> dict[str, Any] | None:
    return quantity._asdict() if quantity is not None else None
