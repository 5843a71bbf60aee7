"""Schema: checks data against the part of JSON Schema that models/model.schema.json uses."""

from __future__ import annotations

import re

KINDS = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}
KNOWN = {
    "$schema", "title", "description", "type", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum",
    "items", "minItems", "maxItems", "properties", "required", "additionalProperties",
}  # fmt: skip


def violations(data: object, schema: dict, where: str = "") -> list[str]:
    """What is wrong with `data`, one phrase each, such as "working.spacing: -1 is less than 0.05"; empty when nothing
    is.

    Raises ValueError when the schema uses a keyword unknown here: it would otherwise go unchecked.
    """
    if unknown := set(schema) - KNOWN:
        raise ValueError(f"The schema uses keywords that are not checked here: {sorted(unknown)}.")
    place = where or "the description"
    kind = schema.get("type")
    if kind and not _is(data, kind):
        return [f"{place}: {_short(data)} is not of type {kind}"]
    found = []
    if "enum" in schema and data not in schema["enum"]:
        found.append(f"{place}: {_short(data)} is not one of {', '.join(map(str, schema['enum']))}")
    if isinstance(data, str):
        found += _text(data, schema, place)
    elif isinstance(data, list):
        found += _count(len(data), schema, place)
        for index, item in enumerate(data):
            found += violations(item, schema.get("items", {}), f"{where}[{index}]")
    elif isinstance(data, dict):
        found += _object(data, schema, where)
    elif isinstance(data, int | float) and not isinstance(data, bool):
        # written so that NaN, which compares with nothing, is refused
        if "minimum" in schema and not data >= schema["minimum"]:
            found.append(f"{place}: {data} is less than {schema['minimum']}")
        if "maximum" in schema and not data <= schema["maximum"]:
            found.append(f"{place}: {data} is more than {schema['maximum']}")
    return found


def _is(data: object, kind: str) -> bool:
    if isinstance(data, bool):
        return kind == "boolean"
    if isinstance(data, float) and kind == "integer":
        return data.is_integer()
    return isinstance(data, KINDS[kind])


def _text(data: str, schema: dict, place: str) -> list[str]:
    found = []
    if "pattern" in schema and not re.search(schema["pattern"], data):
        found.append(f"{place}: {_short(data)} does not match {schema['pattern']}")
    if len(data) < schema.get("minLength", 0):
        found.append(f"{place}: is empty")
    if len(data) > schema.get("maxLength", len(data)):
        found.append(f"{place}: is longer than {schema['maxLength']} characters")
    return found


def _count(count: int, schema: dict, place: str) -> list[str]:
    found = []
    if count < schema.get("minItems", 0):
        found.append(f"{place}: needs at least {schema['minItems']} entries")
    if count > schema.get("maxItems", count):
        found.append(f"{place}: has more than {schema['maxItems']} entries")
    return found


def _object(data: dict, schema: dict, where: str) -> list[str]:
    known = schema.get("properties", {})
    prefix = f"{where}." if where else ""
    found = [f"{prefix}{name}: is missing" for name in schema.get("required", []) if name not in data]
    for name, value in data.items():
        if name in known:
            found += violations(value, known[name], f"{prefix}{name}")
        elif schema.get("additionalProperties") is False:
            found.append(f"{prefix}{name}: is not a known field")
    return found


def _short(data: object) -> str:
    text = repr(data)
    return text if len(text) <= 60 else text[:57] + "..."
