"""Reads the part of YAML that docker-compose.yml uses: nested mappings, lists, flow lists, anchors, merges, plain and
quoted scalars. Whatever else stands in the file is refused, so that nothing is read wrongly in silence."""

import json
import re
from typing import Any

_KEY = re.compile(r"([A-Za-z_][\w-]*|<<):(?:\s+(.*))?$")


def read_yaml(text: str) -> Any:
    """The document as dictionaries, lists, strings, booleans; ValueError for what is outside the subset."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    rows = [(len(line) - len(line.lstrip()), line.lstrip()) for line in lines]
    value, rest = _block(rows, {})
    if rest:
        raise ValueError(f"unexpected indentation: {rest[0][1]}")
    return value


def _block(rows: list[tuple[int, str]], anchors: dict[str, Any]) -> tuple[Any, list[tuple[int, str]]]:
    indent, first = rows[0]
    if first.startswith("- "):
        items = []
        while rows and rows[0][0] == indent and rows[0][1].startswith("- "):
            items.append(_scalar(rows.pop(0)[1][2:], anchors))
        return items, rows
    mapping: dict[str, Any] = {}
    while rows and rows[0][0] == indent:
        line = rows[0][1]
        match = _KEY.match(line)
        if match is None or match[1] in mapping:
            raise ValueError(f"not a new key: {line}")
        rows = rows[1:]
        anchor, written = _anchor(match[2] or "")
        if written:
            mapping[match[1]] = _scalar(written, anchors)
        elif rows and rows[0][0] > indent:
            mapping[match[1]], rows = _block(rows, anchors)
        else:
            mapping[match[1]] = None
        if anchor:
            anchors[anchor] = mapping[match[1]]
    return {**mapping.pop("<<", {}), **mapping}, rows


def _anchor(written: str) -> tuple[str, str]:
    match = re.fullmatch(r"&(\w+)\s*(.*)", written)
    return (match[1], match[2]) if match else ("", written)


def _scalar(written: str, anchors: dict[str, Any]) -> Any:
    if written.startswith("*"):
        return anchors[written[1:]]
    if written.startswith(("[", '"')) or written in {"true", "false"}:
        return json.loads(written)
    if written[0] in "{|>!@`'%" or ": " in written or " #" in written:
        raise ValueError(f"outside of the subset: {written}")
    return written
