"""What an execution is held against: the figures of earlier ones, as they are or from a file.

The file is JSON (``phasetrace.baseline/1``), made to be kept beside the code: every figure of the
whole, the nodes and the phases, so that budgets may be changed without it being made anew. Times
are integer nanoseconds, their names end in ``_ns``; null is what nothing was known of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any, Final, NamedTuple

from phasetrace.budgets.amounts import Amount, Unit
from phasetrace.budgets.figures import (
    GROUP_QUANTITIES,
    WHOLE_QUANTITIES,
    Figure,
    Figures,
    Measured,
    Row,
)
from phasetrace.errors import ConfigError
from phasetrace.spans import PhaseKey

BASELINE_SCHEMA: Final = "phasetrace.baseline/1"

_FAMILY: Final = BASELINE_SCHEMA.partition("/")[0]


class Baseline(NamedTuple):
    """Figures, and the ids of the executions that they are of, the latest first.

    ``names`` are those of the workflows, ``failed`` the ids of those executions that did not end
    well.
    """

    exec_ids: tuple[str, ...]
    figures: Figures
    names: frozenset[str] = frozenset()
    failed: tuple[str, ...] = ()


def baseline_of(executions: Sequence[Measured]) -> Baseline:
    """Return the medians of some executions: of each figure, over those that have it."""
    several = [one.figures for one in executions]
    figures = Figures(
        _medians(one.whole for one in several),
        _aligned(one.nodes for one in several),
        _aligned(one.phases for one in several),
    )
    return _baseline([asdict(one.execution) for one in executions], figures)


def baseline_document(executions: Sequence[Measured]) -> dict[str, Any]:
    """Return the medians of some executions as plain dicts and lists, ready for JSON."""
    figures = baseline_of(executions).figures
    return {
        "schema": BASELINE_SCHEMA,
        "executions": [asdict(one.execution) for one in executions],
        "whole": _written(figures.whole, WHOLE_QUANTITIES),
        "nodes": [
            {"node_id": key.node_id, **_written(row, GROUP_QUANTITIES)}
            for key, row in sorted(figures.nodes.items())
        ],
        "phases": [
            {"node_id": key.node_id, "phase": key.phase, **_written(row, GROUP_QUANTITIES)}
            for key, row in sorted(figures.phases.items())
        ],
    }


def is_baseline(path: Path) -> bool:
    """Tell whether a file is there and calls itself a baseline, of whatever version."""
    try:
        return f'"{_FAMILY}/'.encode() in path.read_bytes()
    except (OSError, ValueError):  # there is none, or its name cannot be one
        return False


def read_baseline(path: Path) -> Baseline:
    """Return the baseline in a file.

    Raises:
        ConfigError: if it cannot be read, or is no baseline.
    """
    import json

    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"cannot read the baseline {path}: {error.strerror or error}; "
            "--save-baseline writes one"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is no baseline: {error}") from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != BASELINE_SCHEMA:
        if isinstance(schema, str) and schema.startswith(f"{_FAMILY}/"):
            raise ConfigError(
                f"{path} is a {schema}, written by another version; this one reads "
                f"{BASELINE_SCHEMA}: save it again with --save-baseline"
            )
        raise ConfigError(f"{path} is no baseline: expected JSON with the schema {BASELINE_SCHEMA}")
    try:
        return _baseline(
            document["executions"],
            Figures(
                _read(document["whole"], WHOLE_QUANTITIES),
                {PhaseKey(str(one["node_id"]), None): _group(one) for one in document["nodes"]},
                {
                    PhaseKey(str(one["node_id"]), str(one["phase"])): _group(one)
                    for one in document["phases"]
                },
            ),
        )
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{path} is a damaged baseline ({error}): save it again") from error


def _baseline(executions: Sequence[Mapping[str, Any]], figures: Figures) -> Baseline:
    """Return a baseline of executions that are written as in its file."""
    return Baseline(
        exec_ids=tuple(str(one["exec_id"]) for one in executions),
        figures=figures,
        names=frozenset(
            str(one["name"]) for one in executions if one.get("name") not in (None, one["exec_id"])
        ),
        failed=tuple(str(one["exec_id"]) for one in executions if one.get("status", "ok") != "ok"),
    )


def _aligned(several: Iterable[Mapping[PhaseKey, Row]]) -> dict[PhaseKey, Row]:
    rows: dict[PhaseKey, list[Row]] = {}
    for figures in several:
        for key, row in figures.items():
            rows.setdefault(key, []).append(row)
    return {key: _medians(found) for key, found in rows.items()}


def _medians(rows: Iterable[Row]) -> Row:
    values: dict[str, list[Amount]] = {}
    for row in rows:
        for quantity, figure in row.items():
            known = values.setdefault(quantity, [])
            if figure is not None:
                known.append(figure)
    return {quantity: _median(known) if known else None for quantity, known in values.items()}


def _median(values: list[Amount]) -> Amount:
    values.sort()
    half = len(values) // 2
    if len(values) % 2:
        return values[half]
    both = values[half - 1] + values[half]
    return both // 2 if isinstance(both, int) else both / 2


def _written(row: Row, quantities: Mapping[str, Unit]) -> dict[str, Figure]:
    return {_field(quantity, quantities[quantity]): figure for quantity, figure in row.items()}


def _group(document: Mapping[str, Any]) -> Row:
    return _read(document, GROUP_QUANTITIES)


def _read(document: Mapping[str, Any], quantities: Mapping[str, Unit]) -> Row:
    row = {}
    for quantity, unit in quantities.items():
        field = _field(quantity, unit)
        if field in document:
            row[quantity] = _figure(field, document[field], unit)
    return row


def _figure(field: str, value: object, unit: Unit) -> Figure:
    if value is None:
        return None
    is_whole = unit in (Unit.TIME, Unit.NUMBER)
    if isinstance(value, int if is_whole else (int, float)) and not isinstance(value, bool):
        number: Amount = value
        if isfinite(number):
            return number
    raise ValueError(f"{field} is {value!r}")


def _field(quantity: str, unit: Unit) -> str:
    return f"{quantity}_ns" if unit is Unit.TIME else quantity
