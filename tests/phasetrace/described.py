"""Holding documents against the schemas that are published for them, to the letter.

Read strictly, a document has nothing in it that is not described, and no 1.0 for a 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator, validators

from phasetrace import schemas

FOLDER: Final = Path(schemas.__file__).parent
NAMES: Final = sorted(f"phasetrace.{file.stem.replace('-', '/')}" for file in FOLDER.glob("*.json"))

_NOT_ALWAYS: Final = {"phasetrace.breakdown/1": {"analysis", "findings", "usual"}}
"""What a document may do without."""
_MAPS: Final = {"lost", "dropped", "fields"}
"""Objects that have members by reason, or by what differs."""
_KEYS: Final = "by"
"""A list that says what the objects beside it have."""

PUBLISHED: Final = {name: Draft202012Validator(schemas.read(name)) for name in NAMES}

_Strict = validators.extend(
    Draft202012Validator,
    # JSON Schema takes 1.0 for an integer, and many a reader's parser does not.
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: type(value) is int
    ),
)


def _parts(schema: Any) -> Iterator[Any]:
    """Give a schema, and everything in it."""
    yield schema
    inner = schema.values() if isinstance(schema, dict) else schema
    for part in inner if isinstance(schema, (dict, list)) else ():
        yield from _parts(part)


def objects(schema: Any) -> Iterator[Any]:
    """Give what describes an object by its members."""
    for part in _parts(schema):
        if isinstance(part, dict) and part.get("type") == "object" and "properties" in part:
            yield part


def _strict(schema: Any) -> Any:
    """Have a schema allow for nothing that it does not describe, and return it."""
    for part in list(objects(schema)):
        part["additionalProperties"] = False
    for part in _parts(schema):
        if isinstance(part, dict) and isinstance(part.get("examples"), list):
            part["enum"] = part["examples"]  # a list to which more may be added, and has not been
    return schema


STRICT: Final = {name: _Strict(_strict(schemas.read(name))) for name in NAMES}


def wrong(document: Any) -> list[str]:
    """Return what is wrong with a document in a strict reading of its schema."""
    found = STRICT[document["schema"]].iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in found]


def parsed(text: str) -> Any:
    """Return what is JSON in the sense of the standard, which knows no NaN."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


def as_json(value: Any) -> Any:
    """Return a value as it is when it has been written and read."""
    return parsed(json.dumps(value))


def small(document: Any) -> Any:
    """Return a document with one item in every list: others are described the same way."""
    if isinstance(document, dict):
        return {key: small(one) if key != _KEYS else one for key, one in document.items()}
    return [small(one) for one in document[:1]] if isinstance(document, list) else document


def members(value: Any) -> Iterator[tuple[Any, str]]:
    """Give every object in a document with each of its members."""
    if isinstance(value, dict):
        yield from ((value, key) for key in value)
        value = [one for key, one in value.items() if key not in _MAPS]
    for one in value if isinstance(value, list) else ():
        yield from members(one)


def nothing_can_be_missing(document: Any) -> None:
    """Fail if a document could do without one of its members, or have another type there."""
    document = small(document)
    name = document["schema"]
    published, strictly = PUBLISHED[name], STRICT[name]
    assert published.is_valid(document)
    for holder, member in list(members(document)):
        value = holder.pop(member)
        is_optional = holder is document and member in _NOT_ALWAYS.get(name, ())
        assert published.is_valid(document) == is_optional, member
        holder[member] = [{"another": "type"}]
        assert not published.is_valid(document), member
        if member.endswith("_ns") and value is not None:
            holder[member] = 0.5
            assert not published.is_valid(document), member
            holder[member] = float(value)
            assert not strictly.is_valid(document), member
        holder[member] = value
    assert strictly.is_valid(document)
