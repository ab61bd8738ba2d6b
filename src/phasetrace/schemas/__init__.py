"""The JSON Schemas of everything that comes as JSON: a file each, by name and version.

They are of draft 2020-12 (https://json-schema.org/draft/2020-12), each stands alone, and allows
for members that it does not know: within a version, some may be added.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def read(name: str) -> dict[str, Any]:
    """Return the schema of a versioned name, which documents have as their ``schema``.

    ``phasetrace.breakdown/1`` is one.

    Raises:
        ValueError: if there is none of this name; says which there are.
    """
    found = {
        f"phasetrace.{file.name[: -len('.json')].replace('-', '/')}": file
        for file in files(__name__).iterdir()
        if file.name.endswith(".json")
    }
    if name not in found:
        raise ValueError(f"there is no schema {name!r}; there are {', '.join(sorted(found))}")
    schema: dict[str, Any] = json.loads(found[name].read_text(encoding="utf-8"))
    return schema
