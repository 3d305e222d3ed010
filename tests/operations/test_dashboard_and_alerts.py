"""The dashboard can be imported anywhere; each alert says how bad it is, what it means and what to do."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

DOCS = Path(__file__).parents[2] / "docs"
ALERTS = yaml.safe_load((DOCS / "operations" / "alerts.yml").read_text(encoding="utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((DOCS / "operations" / "dashboard.json").read_text(encoding="utf-8"))


def test_each_alert_says_how_bad_it_is_how_long_it_waits_and_what_to_do() -> None:
    names = [rule["alert"] for rule in RULES]

    assert len(set(names)) == len(names)
    for rule in RULES:
        assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        assert re.fullmatch(r"[1-9]\d*[mh]", rule["for"])
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "action", "runbook"}
        assert rule["annotations"]["action"].endswith(".")


def test_each_alert_has_its_place_on_the_operators_page_and_no_other_has() -> None:
    page = (DOCS / "operations.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#### (Integrations\w+)$", page, re.MULTILINE)

    assert headings == [rule["alert"] for rule in RULES]
    assert [rule["annotations"]["runbook"] for rule in RULES] == [
        f"docs/operations.md#{heading.lower()}" for heading in headings
    ]


def test_the_dashboard_asks_whichever_data_source_is_chosen() -> None:
    (source,) = (one for one in DASHBOARD["templating"]["list"] if one["type"] == "datasource")
    asked = [one["datasource"]["uid"] for panel in _panels() for one in (panel, *panel["targets"])]

    assert source["query"] == "prometheus"
    assert set(asked) == {f"${{{source['name']}}}"}
    assert "id" not in DASHBOARD  # Grafana's own number would overwrite somebody else's dashboard.


def test_each_panel_is_explained_and_covers_no_other() -> None:
    cells = [
        (panel["id"], {(x, y) for x in _span(panel, "x", "w") for y in _span(panel, "y", "h")})
        for panel in DASHBOARD["panels"]
    ]

    assert [panel["title"] for panel in _panels() if not panel.get("description")] == []
    assert [panel["title"] for panel in _panels() if not panel["fieldConfig"]["defaults"]["unit"]] == []
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert [(one, other) for (one, a), (other, b) in combinations(cells, 2) if a & b] == []
    assert max(x for _, covered in cells for x, _ in covered) < 24


def _panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def _span(panel: dict[str, Any], start: str, length: str) -> range:
    place = panel["gridPos"]
    return range(place[start], place[start] + place[length])
