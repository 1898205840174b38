"""The Kubernetes manifests are valid, say what the server needs, and belong together."""

from __future__ import annotations

import pathlib

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate.utils import all_versions

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "docker/kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
MANIFESTS = {name: yaml.safe_load((FOLDER / name).read_text()) for name in KUSTOMIZATION["resources"]}
# `preStop.sleep` is known since 1.30.
VERSIONS = [version for version in all_versions() if tuple(map(int, version.split(".")[:2])) >= (1, 30)]


def test_the_kustomization_lists_every_manifest():
    assert set(MANIFESTS) | {"kustomization.yaml"} == {path.name for path in FOLDER.iterdir()}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_is_valid(name: str, version: str):
    kubernetes_validate.validate(MANIFESTS[name], version, strict=True)


def test_an_invalid_manifest_is_found():
    manifest = MANIFESTS["service.yaml"] | {"spec": {"ports": [{"port": "eighty"}]}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)


def test_everything_selects_the_pods():
    pods = MANIFESTS["deployment.yaml"]["spec"]["template"]["metadata"]["labels"]
    assert MANIFESTS["deployment.yaml"]["spec"]["selector"]["matchLabels"] == pods
    assert MANIFESTS["service.yaml"]["spec"]["selector"] == pods
    assert MANIFESTS["disruption-budget.yaml"]["spec"]["selector"]["matchLabels"] == pods
    assert MANIFESTS["network-policy.yaml"]["spec"]["podSelector"]["matchLabels"] == pods
    deployment = MANIFESTS["deployment.yaml"]
    target = MANIFESTS["autoscaler.yaml"]["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": deployment["apiVersion"], "kind": deployment["kind"], "name": deployment["metadata"]["name"]}


def test_ports_are_those_that_the_container_names():
    (container,) = MANIFESTS["deployment.yaml"]["spec"]["template"]["spec"]["containers"]
    names = {port["name"] for port in container["ports"]}
    probes = [container[probe]["httpGet"]["port"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")]
    allowed = [port["port"] for rule in MANIFESTS["network-policy.yaml"]["spec"]["ingress"] for port in rule["ports"]]
    served = [port["targetPort"] for port in MANIFESTS["service.yaml"]["spec"]["ports"]]
    assert {*probes, *allowed, *served} == names
    second = MANIFESTS["configmap.yaml"]["data"]["RNNLM_METRICS_LISTEN"].rpartition(":")[2]
    assert {"name": "metrics", "containerPort": int(second)} in container["ports"]


def test_the_container_has_no_privileges():
    pod = MANIFESTS["deployment.yaml"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    context = container["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}


def test_a_pod_has_longer_to_end_than_its_drain_takes():
    pod = MANIFESTS["deployment.yaml"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    # `--shutdown-grace`, and 15 seconds more with a session store, as docs/operations.md says.
    assert pod["terminationGracePeriodSeconds"] >= before + 25 + 15


def test_secrets_are_referred_to_and_not_held():
    assert not [name for name, manifest in MANIFESTS.items() if manifest["kind"] == "Secret"]
    settings = MANIFESTS["configmap.yaml"]["data"]
    assert "RNNLM_SESSION_STORE" not in settings
    (store,) = MANIFESTS["deployment.yaml"]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert store["name"] == "RNNLM_SESSION_STORE"
    assert "secretKeyRef" in store["valueFrom"]
