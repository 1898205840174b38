"""The alert rules and the dashboard: promtool tests the rules, and Prometheus runs every query on a loaded server.

A query that gives nothing names a metric or a label that does not exist. An alert's expression gives nothing as long as all is well, so what
is run is the query before its operator and number.
"""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import time
from collections.abc import Iterator

import pytest
import yaml
from clients import Client
from processes import ROOT, Prometheus, Server, wait

FOLDER = ROOT / "docker/prometheus"
RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
TESTS = yaml.safe_load((FOLDER / "alerts.test.yml").read_text())["tests"]
DASHBOARD = json.loads((ROOT / "docker/grafana/dashboards/rnnlm.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
# What Grafana puts in the place of its variables.
VARIABLES = {"$instance": ".*", "$__rate_interval": "1m"}
SECONDS_OF_LOAD = 5


def test_promtool_accepts_the_configuration():
    promtool("check", "config", "prometheus.yml")


def test_alerts_fire_when_they_should_and_not_otherwise():
    promtool("test", "rules", "alerts.test.yml")


def test_each_alert_is_tested_in_both_ways():
    names = {rule["alert"] for rule in RULES}
    tested = {name: "" for name in names}
    for test in TESTS:
        (case,) = test["promql_expr_test"]
        name = re.search(r'alertname="(\w+)"', case["expr"])[1]
        quiet = {re.search(r'instance="(\w)"', series["series"])[1] for series in test["input_series"]} >= {"a", "b"}
        tested[name] += ("fires " if case["exp_samples"] else "") + ("quiet " if quiet else "")
    assert all({"fires", "quiet"} <= set(ways.split()) for ways in tested.values()), tested


def test_each_alert_says_how_bad_it_is_and_what_to_do():
    for rule in RULES:
        assert rule["labels"]["severity"] in {"critical", "warning"}, rule
        assert {"summary", "description"} <= set(rule["annotations"]), rule


def test_the_alerts_are_those_that_the_documentation_lists():
    page = (ROOT / "docs/operations.md").read_text()
    listed = re.findall(r"^\| `(Rnnlm\w+)` \| (\w+) \|", page, re.MULTILINE)
    assert sorted(listed) == sorted((rule["alert"], rule["labels"]["severity"]) for rule in RULES)


def test_panels_do_not_overlap():
    places = [(x, y) for panel in DASHBOARD["panels"] for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
              for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])]
    assert len(places) == len(set(places))
    assert all(x < 24 for x, _ in places)


def test_the_dashboard_finds_its_data_source():
    (source,) = yaml.safe_load((ROOT / "docker/grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in PANELS} == {source["uid"]}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_the_query_of_an_alert_gives_values(rule: dict[str, object], prometheus: Prometheus):
    query = re.fullmatch(r"(.+) [<>] [\d.]+", rule["expr"])
    assert query, f"expected a query, an operator and a number, found `{rule['expr']}`"
    assert_values(prometheus, query[1])


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_the_queries_of_a_panel_give_values(panel: dict[str, object], prometheus: Prometheus):
    assert panel["targets"]
    for target in panel["targets"]:
        query = target["expr"]
        for variable, value in VARIABLES.items():
            query = query.replace(variable, value)
        assert_values(prometheus, query)


def test_alerts_are_quiet_while_all_is_well(prometheus: Prometheus):
    firing = prometheus.query('ALERTS{alertstate="firing"}')
    # The load has requests that run out of time, which `for` keeps from an alert.
    assert firing == []


def assert_values(prometheus: Prometheus, query: str) -> None:
    found = prometheus.query(query)
    assert found, f"`{query}` gives nothing"
    values = [series["value"][1] for series in found]
    assert any(value not in {"NaN", "+Inf", "-Inf"} for value in values), f"`{query}` gives {values}"


def promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def prometheus(binary: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus, which has scraped a server that has done everything that is measured."""
    folder = tmp_path_factory.mktemp("monitoring")
    (folder / "keys").write_text("alice:alice-secret\n")
    options = ["--models", ROOT / "models/shakespeare-rnn", "--session-store", f"file:{folder}/sessions", "--api-keys", folder / "keys"]
    with Server("server", folder, binary, *options) as server, Prometheus(folder, [server]) as running:
        wait(lambda: bool(running.query('up{job="rnnlm"} == 1')), "the first scrape")
        end = time.monotonic() + SECONDS_OF_LOAD
        number = 0
        while time.monotonic() < end:
            number += 1
            load(Client(server.address, headers={"authorization": "Bearer alice-secret"}), number)
        yield running


def load(client: Client, number: int) -> None:
    """Each kind of request, and one that runs out of time."""
    path = f"/v1/sessions/s{number}"
    client.expect(201, "POST", "/v1/sessions", {"id": f"s{number}", "text": "KING"})
    client.expect(200, "POST", f"{path}/next", {"top_k": 1})
    client.expect(200, "POST", f"{path}/generate", {"max_tokens": 16})
    client.expect(200, "POST", "/v1/score", {"text": "KING"})
    client.expect(504, "POST", "/v1/generate", {"text": "KING " * 20_000, "timeout_ms": 1})
    client.expect(204, "DELETE", path)
