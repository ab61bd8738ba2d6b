"""What a project says of itself to phasetrace: ``[tool.phasetrace]`` in its ``pyproject.toml``.

    [tool.phasetrace.budgets]              # see phasetrace.budgets.budget
    "plan/*:p95" = "2s"

    [tool.phasetrace.prices]               # for a million tokens, in any currency
    "gpt-4o" = { input = 2.5, output = 10.0 }
    "claude-*" = { input = 3, output = 15 }

Another file that is named has these tables as well, or as ``[budgets]`` and ``[prices]``, or is
one of them as a whole. Only what reads executions reads this, and no TOML parser is imported before
there is something to parse.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from phasetrace.analysis.usage import NO_PRICES, Price, Prices
from phasetrace.errors import ConfigError

BUDGETS: Final = "budgets"
PRICES: Final = "prices"

_NAME: Final = "pyproject.toml"
_TABLE: Final = "phasetrace"
_KEYS: Final = (BUDGETS, PRICES)
_PRICE_FIELDS: Final = ("input", "output")
_HIGHEST_PRICE: Final = 1e9
_MOST_SHOWN: Final = 60


class ProjectFile(NamedTuple):
    """What a file says; ``budgets`` as they are written, None if it says nothing of any."""

    path: Path
    budgets: Mapping[str, Any] | None = None
    prices: Prices | None = None
    is_project: bool = True
    """Its tables are those of ``[tool.phasetrace]``."""

    def where(self, table: str) -> str:
        """Return where a table is, for messages."""
        return f"{self.path} [tool.{_TABLE}.{table}]" if self.is_project else str(self.path)


def find_project_file(folder: Path | None = None) -> ProjectFile | None:
    """Return the nearest project file that has ``[tool.phasetrace]``, None if there is none.

    Looked for in a folder (default: the working directory) and in those above it.

    Raises:
        ConfigError: if one that mentions phasetrace cannot be read, or says something else than it
            can.
    """
    try:
        folder = Path.cwd() if folder is None else folder.absolute()
    except FileNotFoundError:  # it has been deleted, and what was above it is not known
        return None
    for place in (folder, *folder.parents):
        path = place / _NAME
        if path.is_file() and _TABLE.encode() in _bytes(path):
            table = _own_table(path, _parsed(path))
            if table is not None:
                return _project(path, table)
    return None


def read_project_file(path: Path, whole: str = BUDGETS) -> ProjectFile:
    """Return what a file says that was named; `whole` is what it is if it has no such tables.

    Raises:
        ConfigError: if it cannot be read, or says something else than it can.
    """
    document = _parsed(path)
    own = _own_table(path, document)
    if own is not None or path.name == _NAME:
        return _project(path, own or {})
    if any(isinstance(document.get(key), dict) for key in _KEYS):
        return _project(path, document, is_project=False)
    return _project(path, {whole: document}, is_project=False)


def load_prices(path: Path | str | None = None) -> Prices:
    """Return the prices in a file (TOML, or JSON of the same form), else the project file's.

    None where nobody says any.

    Raises:
        ConfigError: if a file cannot be read, or a price is none.
    """
    file = find_project_file() if path is None else read_project_file(Path(path), whole=PRICES)
    return NO_PRICES if file is None or file.prices is None else file.prices


def _project(path: Path, table: Mapping[str, Any], is_project: bool = True) -> ProjectFile:
    file = ProjectFile(path, is_project=is_project)
    for key, value in table.items():
        if key not in _KEYS:
            raise ConfigError(f"{path}: unknown key {key!r}{_nearest(key, _KEYS)}")
        if not isinstance(value, dict):
            raise ConfigError(f"{file.where(key)} is {value!r}; expected a table")
    prices = table.get(PRICES)
    return file._replace(
        budgets=table.get(BUDGETS),
        prices=None if prices is None else _prices(prices, file.where(PRICES)),
    )


def _prices(table: Mapping[str, Any], where: str) -> Prices:
    prices, problems = {}, []
    for model, value in table.items():
        try:
            prices[model] = _price(value)
        except ValueError as error:
            problems.append(f'"{model}": {error}')
    if problems:
        raise ConfigError(f"{where}: {'; '.join(problems)}")
    return prices


def _price(value: object) -> Price:
    expected = "expected { input = 2.5, output = 10.0 }, for a million tokens"
    if not isinstance(value, dict) or not value:
        raise ValueError(f"{value!r} is no price; {expected}")
    for field, amount in value.items():
        if field not in _PRICE_FIELDS:
            raise ValueError(f"unknown field {field!r}{_nearest(field, _PRICE_FIELDS)}")
        is_number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
        if not is_number or not 0 <= amount <= _HIGHEST_PRICE:
            raise ValueError(f"{field} is {_shown(amount)}; {expected}, each 0 to 1e9")
    return Price(*(float(value.get(field, 0)) for field in _PRICE_FIELDS))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def _own_table(path: Path, document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    tools = document.get("tool")
    table = tools.get(_TABLE) if isinstance(tools, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"{path}: tool.{_TABLE} is {table!r}; expected a table")
    return table


def _parsed(path: Path) -> Mapping[str, Any]:
    """Return what is in a file of TOML, or of JSON by its name."""
    from importlib import import_module

    data = _bytes(path)
    is_json = path.suffix.lower() == ".json"
    # The standard library has a parser from 3.11 on; tomli is the same for older versions.
    library = "json" if is_json else "tomllib" if sys.version_info >= (3, 11) else "tomli"
    try:
        document = import_module(library).loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # what all of them raise
        raise ConfigError(f"cannot read {path}: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"cannot read {path}: expected a table at the top")
    return document


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error


def _nearest(name: str, known: tuple[str, ...]) -> str:
    import difflib

    found = difflib.get_close_matches(name, known, 1, 0.5)
    return f", did you mean {found[0]!r}?" if found else f", there are {' and '.join(known)}"
