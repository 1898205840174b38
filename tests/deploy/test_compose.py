"""docker/compose.yaml: two profiles, as few privileges as possible, and no service without a limit, a health check and a pinned image."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "docker"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = "rnnlm-server"
REPLICAS = [name for name in SERVICES if name.startswith("replica-")]


def test_each_service_belongs_to_one_profile():
    profiles = {name: service["profiles"] for name, service in SERVICES.items()}
    assert profiles.pop(OURS) == ["single"]
    assert set(map(tuple, profiles.values())) == {("replicas",)}
    assert "COMPOSE_PROFILES=single" in (FOLDER / ".env").read_text().splitlines()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_restricted(name: str):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"]
    assert service["restart"] == "unless-stopped"
    # Of our image, they are part of the image.
    if service["image"] != OURS:
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+(-[a-z]+)?", service["image"]), "expected a tag of one version"
        assert service["healthcheck"]["test"][0] == "CMD"
        assert int(service["user"].partition(":")[0]) > 0


def test_ports_are_published_to_this_machine_only():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_a_service_starts_after_those_that_it_needs():
    needs = {name: service.get("depends_on", {}) for name, service in SERVICES.items()}
    assert all(condition == {"condition": "service_healthy"} for needed in needs.values() for condition in needed.values())
    assert all(set(needs[name]) == {"redis"} for name in REPLICAS)
    assert set(needs["nginx"]) == set(REPLICAS)


def test_replicas_are_those_that_nginx_and_prometheus_name():
    upstreams = re.findall(r"^upstream \w+ \{(.*?)^\}", nginx_without_indents(), re.MULTILINE | re.DOTALL)
    assert len(upstreams) == 2
    for upstream in upstreams:
        assert re.findall(r"server (\S+):8080 ", upstream) == REPLICAS
    scraped = yaml.safe_load((FOLDER / "prometheus/prometheus.yml").read_text())["scrape_configs"][0]["static_configs"][0]["targets"]
    port = SERVICES[REPLICAS[0]]["environment"]["RNNLM_METRICS_LISTEN"].rpartition(":")[2]
    assert scraped == [f"{name}:{port}" for name in REPLICAS]


def nginx_without_indents() -> str:
    return re.sub(r"^    ", "", (FOLDER / "nginx/nginx.conf").read_text(), flags=re.MULTILINE)


def test_replicas_keep_their_addresses_and_lose_nothing():
    addresses = [SERVICES[name]["networks"]["service"]["ipv4_address"] for name in REPLICAS]
    assert len(set(addresses)) == len(REPLICAS) == 3
    assert all(SERVICES[name]["environment"]["RNNLM_STORE_FLUSH"] == "0s" for name in REPLICAS)


def test_a_server_has_longer_to_end_than_its_drain_takes():
    # `--shutdown-grace`, and 5 seconds more, or 15 with a session store, as docs/operations.md says.
    for name, more in [(OURS, 5), *((name, 15) for name in REPLICAS)]:
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= 25 + more


def test_redis_is_reached_by_replicas_only():
    assert COMPOSE["networks"]["store"] == {"internal": True}
    inside = {name for name, service in SERVICES.items() if "store" in service.get("networks", [])}
    assert inside == {"redis", *REPLICAS}
    assert "ports" not in SERVICES["redis"]


def test_files_that_are_mounted_exist():
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (FOLDER / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


@pytest.mark.parametrize("profile", ["single", "replicas"])
def test_compose_accepts_the_file(profile: str):
    compose = shutil.which("docker-compose")
    if not compose:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("found no docker-compose")
    command = [compose, "--file", FOLDER / "compose.yaml", "--profile", profile, "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
