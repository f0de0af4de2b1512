"""Reads statistics with Python's own parsers, and checks that JSON and CSV say the same.

    python3 statistics.py FILE.json FILE.csv

Ends with an error if one cannot be parsed, or if they differ.
"""

import csv
import json
import sys


def of_json(path):
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    groups = document.get("statistics", document.get("differences"))
    total = document.get("snapshot", document.get("new"))["size"]
    # Rounded estimates of groups may add up to a little more or less.
    assert abs(sum(group["size"] for group in groups) - total) <= len(groups), "sizes"
    assert document["groups"] == len(groups), "groups"
    return [[group.get(name) for name in NUMBERS] for group in groups]


def of_csv(path):
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    for row in rows:
        assert None not in row and None not in row.values(), f"cells: {row}"
        for name in ["filename", "function", "crate", "traceback"]:
            assert not row[name].startswith(tuple("=+-@\t\r")), f"a formula: {row}"
    return [[int(row[name]) if name in row else None for name in NUMBERS] for row in rows]


NUMBERS = ["lineno", "size", "size_diff", "count", "count_diff"]

try:
    expected, found = of_json(sys.argv[1]), of_csv(sys.argv[2])
    assert expected == found, "JSON and CSV differ"
except (ValueError, KeyError, TypeError, AssertionError, csv.Error) as error:
    sys.exit(f"rejected: {error!r}")
print(f"{len(found)} groups")
