"""Renders deploy/chart/weir with Helm itself, and holds what comes out against Kubernetes' schemas and weir's own check.

Helm 4 is here as a library (helm-python-sdk), the schemas come with kubernetes-validate. No cluster is asked.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import tomllib

import kubernetes_validate
import yaml
from helm_python import Chart
from helm_python.chart import lint
from helm_python.errors import HelmError

HERE = pathlib.Path(__file__).parent
CHART = HERE.parent.parent / "deploy" / "chart" / "weir"
WEIR = sys.argv[1]
# ordinals and the label with a pod's number are there since 1.31.
VERSIONS = ["1.31.0", "1.34.0", kubernetes_validate.latest_version()]
checked = 0


def rendered(values):
    with Chart.load(CHART) as chart:
        files = chart.render(values, name="shop", namespace="data")
    documents = {}
    for name, text in files.items():
        if name.endswith(".yaml"):
            for document in yaml.safe_load_all(text):
                if document:
                    documents[(document["kind"], document["metadata"]["name"])] = document
    return documents


def valid(documents):
    global checked
    for (kind, name), document in documents.items():
        if kind == "ServiceMonitor":
            # The Prometheus operator's own, of which Kubernetes has no schema.
            assert document["spec"]["endpoints"][0]["port"] == "metrics"
            continue
        if kind == "PrometheusRule":
            alerts = yaml.safe_load((HERE / "../../deploy/alerts.yml").read_text())
            assert document["spec"] == alerts, "the rules are those of deploy/alerts.yml"
            continue
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
            checked += 1


def right(documents, environment):
    """What weir says of the configuration, with the files that it names at hand."""
    global checked
    text = documents[("ConfigMap", "shop-weir")]["data"]["proxy.toml"]
    config = tomllib.loads(text)
    with tempfile.TemporaryDirectory() as directory:
        # The pod's paths are not here; a key and certificates are made where there are none.
        place = pathlib.Path(directory)
        for which in ["ca/ca.crt", "tls/tls.crt", "tls/tls.key"]:
            (place / which).parent.mkdir(exist_ok=True)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=weir", "-days", "2",
             "-keyout", place / "tls/tls.key", "-out", place / "tls/tls.crt"],
            check=True, capture_output=True)
        os.chmod(place / "tls/tls.key", 0o600)
        (place / "ca/ca.crt").write_bytes((place / "tls/tls.crt").read_bytes())
        file = place / "proxy.toml"
        file.write_text(text.replace("/etc/weir/", f"{directory}/"))
        outcome = subprocess.run([WEIR, "check", "--config", file], env=environment, capture_output=True, text=True)
        assert outcome.returncode == 0, outcome.stderr + text
    checked += 1
    return config


def least():
    documents = rendered(yaml.safe_load((HERE / "values-least.yaml").read_text()))
    valid(documents)
    kinds = sorted(kind for kind, _ in documents)
    assert kinds == ["ConfigMap", "PodDisruptionBudget", "Service", "Service", "StatefulSet"], kinds
    pod = documents[("StatefulSet", "shop-weir")]
    assert pod["spec"]["replicas"] == 3
    config = right(documents, {"WEIR_USER_0_PASSWORD": "x", "WEIR__LISTEN__PEER_ID": "1"})
    assert [peer["id"] for peer in config["peers"]] == [1, 2, 3]
    assert config["peers"][2]["host"] == "shop-weir-3.shop-weir-peers.data.svc", config["peers"]
    spec = pod["spec"]["template"]["spec"]
    # The drain, and what goes before it, fit into the time that a pod is given to end.
    assert spec["terminationGracePeriodSeconds"] == 45
    container = spec["containers"][0]
    assert container["securityContext"]["readOnlyRootFilesystem"] and spec["securityContext"]["runAsNonRoot"]
    selector = pod["spec"]["selector"]["matchLabels"].items()
    assert selector <= pod["spec"]["template"]["metadata"]["labels"].items()
    for name in ["shop-weir", "shop-weir-peers"]:
        service = documents[("Service", name)]["spec"]
        assert service["selector"].items() == selector
        named = {port["name"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["ports"]} <= named
    return pod


def full(before):
    documents = rendered(yaml.safe_load((HERE / "values-full.yaml").read_text()))
    valid(documents)
    assert ("NetworkPolicy", "shop-weir") in documents and ("ServiceMonitor", "shop-weir") in documents
    assert ("PrometheusRule", "shop-weir") in documents
    config = right(documents, {
        "WEIR_USER_0_PASSWORD": "x", "WEIR_USER_1_PASSWORD": "y", "WEIR__LISTEN__PEER_ID": "5"})
    assert config["users"][1]["name"] == 'odd "name"' and len(config["peers"]) == 5
    assert config["listen"]["client_limit"] == 1000000 and config["listen"]["tls"] == "require"
    assert config["routing"]["read_functions"] == ["public.total", "other"]
    pod = documents[("StatefulSet", "shop-weir")]["spec"]["template"]
    other = before["spec"]["template"]["metadata"]["annotations"]
    assert pod["metadata"]["annotations"]["weir/config"] != other["weir/config"]
    monitor = documents[("ServiceMonitor", "shop-weir")]["spec"]["selector"]["matchLabels"].items()
    assert monitor <= documents[("Service", "shop-weir-peers")]["metadata"]["labels"].items()


def refused():
    """What cannot be meant is refused before anything is installed, and so is a password among the values."""
    global checked
    good = yaml.safe_load((HERE / "values-least.yaml").read_text())
    for change in [
        {"servers": []},
        {"users": [{"name": "app", "password": "hunter2"}]},
        {"replicas": 300},
        {"config": {"listen": {"address": "0.0.0.0:1"}}},
        {"config": {"pooll": {"size": 1}}},
        {"readiness": "never"},
        {"unknown": 1},
    ]:
        try:
            with Chart.load(CHART) as chart:
                chart.validate_schema(good | change)
        except HelmError:
            checked += 1
            continue
        raise AssertionError(f"{change} was taken")


def documented():
    """Every value is in the schema, and every one of the schema is in values.yaml, where its comment is."""
    with Chart.load(CHART) as chart:
        values, schema = chart.values, chart.schema
    assert set(values) == set(schema["properties"]) - {"global"}, set(values) ^ set(schema["properties"])
    # A section that weir has can be said.
    lines = (CHART.parent.parent.parent / "proxy.toml").read_text().splitlines()
    sections = {line.removeprefix("#: ")[1:-1] for line in lines if line.removeprefix("#: ").startswith("[") and line.endswith("]")}
    sections = {section for section in sections if section.isalpha()}
    missing = sections - set(schema["properties"]["config"]["properties"])
    assert "pool" in sections and not missing, missing
    version = tomllib.loads((CHART.parent.parent.parent / "Cargo.toml").read_text())["package"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == version


def linted():
    values = yaml.safe_load((HERE / "values-full.yaml").read_text())
    report = lint(CHART, values, strict=True, kube_version="v1.34.0")
    worst = [message for message in report["messages"] if message["severity"] > 1]
    assert not worst and not report["errors"], report


linted()
documented()
full(least())
refused()
print(f"the chart: {checked} checks, with Kubernetes {', '.join(VERSIONS)}")
