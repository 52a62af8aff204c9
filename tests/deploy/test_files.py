"""The files of ``examples/deploy`` say what Docker, systemd, Prometheus and our own command line understand.

Where there is no engine to try them, the specifications of their formats, and what they refer to, have to do.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shlex
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from dockerfile_parse import DockerfileParser  # type: ignore[import-untyped]
from prometheus_client import ProcessCollector
from prometheus_client.registry import CollectorRegistry

from autobahnlike.asgi import ServerOptions
from autobahnlike.backplane.redis.options import RedisOptions
from autobahnlike.backplane.redis.scripts import Keys
from autobahnlike.backplane.redis.url import parse_url
from autobahnlike.cli import _parser
from autobahnlike.cli.backplane import VARIABLE
from autobahnlike.monitoring.metrics import METRICS
from tests.deploy.unit import parse_unit
from tests.programs import ROOT

DEPLOY = ROOT / "examples" / "deploy"
APPLICATION = ROOT / "examples" / "gateway_chat"

DOCKERFILE: list[dict[str, Any]] = DockerfileParser(fileobj=io.BytesIO((DEPLOY / "Dockerfile").read_bytes())).structure
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
UNIT = parse_unit((DEPLOY / "autobahnlike.service").read_text())
PROMETHEUS: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
ALERTS: dict[str, Any] = yaml.safe_load((DEPLOY / "alerts.yml").read_text())
NODES = {name: each for name, each in COMPOSE["services"].items() if name.startswith("node")}


def of_instruction(name: str) -> list[str]:
    return [each["value"] for each in DOCKERFILE if each["instruction"] == name]


IMAGE_COMMAND: list[str] = json.loads(of_instruction("CMD")[0])
UNIT_COMMAND = shlex.split(UNIT["Service"]["ExecStart"])


def parsed(command: list[str]) -> argparse.Namespace:
    """What our own command line makes of a command."""
    assert Path(command[0]).name == "autobahnlike"
    return _parser().parse_args(command[1:])


def seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+)(s|m|)", text)
    assert match, text
    return int(match[1]) * (60 if match[2] == "m" else 1)


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


@pytest.mark.parametrize("command", [IMAGE_COMMAND, UNIT_COMMAND], ids=["image", "unit"])
def test_commands(command: list[str]) -> None:
    asked = parsed(command)
    assert (asked.command, asked.app) == ("serve", "app:app")
    assert (APPLICATION / "app.py").is_file()
    # nginx is in front, and nothing of the secrets is here.
    assert asked.proxies == 1
    assert asked.drain > 0
    assert asked.log_format == "json"
    assert "redis" not in " ".join(command)


def time_to_stop(command: list[str]) -> float:
    """How long a process may take when it is told to: the drain, the last requests, the end of the application."""
    return float(parsed(command).drain + 2 * ServerOptions().shutdown_timeout)


class TestImage:
    def test_what_is_copied_is_there(self) -> None:
        stages = [re.fullmatch(r"\S+ AS (\w+)", each) for each in of_instruction("FROM")]
        names = {stage[1] for stage in stages if stage}
        ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
        for value in of_instruction("COPY"):
            *options, source, _ = value.split()
            if options:
                assert options[0].removeprefix("--from=") in names
                continue
            assert (ROOT / source).is_dir()
            assert not any(source.startswith(each) for each in ignored)

    def test_what_is_installed(self) -> None:
        extras = re.search(r"/source\[([\w,]+)\]", " ".join(of_instruction("RUN")))
        assert extras
        config = ConfigParser()
        config.read(ROOT / "setup.cfg")
        assert set(extras[1].split(",")) <= set(config["options.extras_require"])
        # What the command needs: the loop, the backplane, metrics and logs.
        assert set(extras[1].split(",")) >= {"uvloop", "gateway", "monitoring"}
        python = {re.search(r"python:([\d.]+)", each)[1] for each in of_instruction("FROM")}  # type: ignore[index]
        assert len(python) == 1, "the environment is copied from one to the other"
        assert f"Python :: {python.pop()}\n" in (ROOT / "setup.cfg").read_text()

    def test_ports(self) -> None:
        asked = parsed(IMAGE_COMMAND)
        ports = {port_of(place) for place in (*asked.listen, asked.admin)}
        assert {int(port) for port in of_instruction("EXPOSE")[0].split()} == ports
        # Within a container, this machine alone is nobody.
        assert all(place.startswith("0.0.0.0:") for place in (*asked.listen, asked.admin))

    def test_it_is_nobody_in_particular(self) -> None:
        (user,) = of_instruction("USER")
        assert f" {user}" in " ".join(of_instruction("RUN"))


def test_the_health_check_of_the_image_is_a_programme() -> None:
    (check,) = of_instruction("HEALTHCHECK")
    command = json.loads(check.partition("CMD ")[2])
    assert command[:2] == ["python", "-c"]
    assert f"127.0.0.1:{port_of(parsed(IMAGE_COMMAND).admin)}/health" in command[2]
    compile(command[2], "HEALTHCHECK", "exec")


class TestCompose:
    def test_the_specification(self) -> None:
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
        done = subprocess.run([*command, DEPLOY / "compose.yaml"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_what_is_referred_to_exists(self) -> None:
        services = COMPOSE["services"]
        for name, service in services.items():
            assert set(service.get("depends_on", ())) <= set(services), name
            assert set(service.get("networks", ())) <= set(COMPOSE["networks"]), name
            for volume in service.get("volumes", ()):
                source = volume.split(":")[0]
                assert source in COMPOSE["volumes"] or (DEPLOY / source).is_file(), name
            if "build" in service:
                context = (DEPLOY / service["build"]["context"]).resolve()
                assert context == ROOT
                assert (context / service["build"]["dockerfile"]).samefile(DEPLOY / "Dockerfile")
            else:
                # A version of its own, not whatever is the latest.
                assert re.fullmatch(r"[\w./-]+:v?\d[\w.-]+", service["image"]), name
        # Waiting until something is healthy needs a check.
        for service in services.values():
            conditions = service.get("depends_on", {})
            if isinstance(conditions, dict):
                assert all("healthcheck" in services[name] for name in conditions)

    def test_three_nodes_with_addresses_of_their_own(self) -> None:
        assert len(NODES) == 3
        addresses = [each["networks"]["inside"]["ipv4_address"] for each in NODES.values()]
        (pool,) = COMPOSE["networks"]["inside"]["ipam"]["config"]
        prefix = pool["subnet"].removesuffix("0/24")
        assert len(set(addresses)) == 3
        assert all(address.startswith(prefix) for address in addresses)

    @pytest.mark.parametrize("name", NODES)
    def test_a_node(self, name: str) -> None:
        node = NODES[name]
        # That of the image, which test_commands has.
        assert "command" not in node
        # Clients come through nginx, and Prometheus from within.
        assert "ports" not in node
        assert seconds(node["stop_grace_period"]) > time_to_stop(IMAGE_COMMAND)
        address = node["environment"][VARIABLE]
        assert re.search(r"\$\{REDIS_PASSWORD:\?[^}]+\}", address)
        url = parse_url(re.sub(r"\$\{REDIS_PASSWORD:\?[^}]+\}", "secret", address))
        (place,) = url.places
        assert str(place) == "valkey:6379"
        assert "valkey" in COMPOSE["services"]
        assert url.password == "secret"

    def test_nothing_but_nginx_is_for_everybody(self) -> None:
        published = {name: each["ports"] for name, each in COMPOSE["services"].items() if "ports" in each}
        assert published.pop("nginx") == ["8080:80"]
        assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)

    def test_nginx_has_the_nodes_of_this_file(self) -> None:
        (port,) = {port_of(each) for each in parsed(IMAGE_COMMAND).listen}
        upstream = re.findall(r"^ *server ([\w:]+) max_fails", (DEPLOY / "nginx.conf").read_text(), re.MULTILINE)
        assert upstream == [f"{name}:{port}" for name in NODES]


class TestUnit:
    def test_stopping(self) -> None:
        service = UNIT["Service"]
        assert seconds(service["TimeoutStopSec"]) > time_to_stop(UNIT_COMMAND)
        # Otherwise the workers are told by systemd and by the first process.
        assert service["KillMode"] == "mixed"

    def test_reloading_is_for_workers(self) -> None:
        assert UNIT["Service"]["ExecReload"] == "/bin/kill -HUP $MAINPID"
        assert parsed(UNIT_COMMAND).workers > 1

    def test_it_listens_to_this_machine_alone(self) -> None:
        asked = parsed(UNIT_COMMAND)
        assert all(place.startswith("127.0.0.1:") for place in (*asked.listen, asked.admin))
        # The sockets that it may have are those that it needs.
        assert UNIT["Service"]["RestrictAddressFamilies"].split() == ["AF_INET", "AF_INET6", "AF_UNIX"]

    def test_the_secrets(self) -> None:
        assert Path(UNIT["Service"]["EnvironmentFile"]).name == "chat.env"
        lines = [line for line in (DEPLOY / "chat.env").read_text().splitlines() if not line.startswith("#")]
        ((name, _, value),) = [line.partition("=") for line in lines]
        assert name == VARIABLE
        assert parse_url(value).password == "PASSWORD"


@pytest.mark.parametrize(
    "text",
    [
        "ExecStart=/bin/true",
        "[Service]\nExecstart=/bin/true",
        "[Unit]\nExecStart=/bin/true",
        "[Service]\nRestart",
        "[Service]\nRestart=no\nRestart=always",
        "[Services]",
    ],
)
def test_units_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no|is not known"):
        parse_unit(text)


class TestPrometheus:
    def test_it_scrapes_every_node(self) -> None:
        (job,) = PROMETHEUS["scrape_configs"]
        (targets,) = [each["targets"] for each in job["static_configs"]]
        port = port_of(parsed(IMAGE_COMMAND).admin)
        assert targets == [f"{name}:{port}" for name in NODES]
        assert PROMETHEUS["rule_files"] == ["alerts.yml"]
        mounted = {volume.split(":")[1] for volume in COMPOSE["services"]["prometheus"]["volumes"]}
        assert mounted >= {"/etc/prometheus/prometheus.yml", "/etc/prometheus/alerts.yml"}

    @pytest.mark.parametrize("rule", ALERTS["groups"][0]["rules"], ids=lambda rule: rule["alert"])
    def test_alerts_ask_for_what_there_is(self, rule: dict[str, Any]) -> None:
        labels = {metric.name: {*metric.labels} for metrics in METRICS.values() for metric in metrics}
        # Of a process, as the library has it on this platform; and what Prometheus itself knows.
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        labels |= {family.name: set() for family in registry.collect()}
        labels["up"] = set()
        asked = list(selectors(promql_parser.parse(rule["expr"])))
        assert asked
        for selector in asked:
            assert selector.name in labels, f"there is no metric {selector.name}"
            named = {matcher.name for matcher in selector.matchers.matchers}
            assert named <= labels[selector.name] | {"job", "instance"}, selector.name
        assert set(rule) <= {"alert", "expr", "for", "annotations"}
        assert seconds(rule.get("for", "0s")) >= 0
        assert rule["annotations"]["summary"].endswith(("?", "."))

    def test_they_have_names_of_their_own(self) -> None:
        names = [rule["alert"] for rule in ALERTS["groups"][0]["rules"]]
        assert len(names) == len(set(names)) > 8
        # A verdict that nobody gives would never be heard of.
        (unknown,) = selectors(
            promql_parser.parse(next(e["expr"] for e in ALERTS["groups"][0]["rules"] if e["alert"] == "SendsUnknown"))
        )
        assert [(each.name, each.value) for each in unknown.matchers.matchers] == [("verdict", "unknown")]


def selectors(expression: Any) -> Any:
    """What an expression of PromQL asks for."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    for name in ("lhs", "rhs", "expr", "vector_selector", "selector"):
        if (part := getattr(expression, name, None)) is not None:
            yield from selectors(part)
    for argument in getattr(expression, "args", ()):
        yield from selectors(argument)


class TestRedis:
    TEXT = (DEPLOY / "redis.conf").read_text()

    def test_the_user_may_use_our_keys_and_channels(self) -> None:
        (line,) = re.findall(r"^#user gateway (.+)$", self.TEXT, re.MULTILINE)
        rules = line.split()
        prefix = RedisOptions().prefix
        assert f"~{prefix}:*" in rules
        assert f"&{prefix}:*" in rules
        keys = Keys(prefix)
        names = (
            keys.nodes,
            keys.alive("n"),
            keys.head("r"),
            keys.log("r"),
            keys.node_channel("n"),
            keys.room_channel("r"),
        )
        assert all(name.startswith(f"{prefix}:") for name in names)

    def test_a_subscriber_may_have_many_messages_before_it(self) -> None:
        hard, soft = re.search(r"client-output-buffer-limit pubsub (\d+)mb (\d+)mb", self.TEXT).groups()  # type: ignore[union-attr]
        assert min(int(hard), int(soft)) * 1024 * 1024 >= 16 * RedisOptions().max_message_size

    def test_it_is_where_compose_mounts_it(self) -> None:
        valkey = COMPOSE["services"]["valkey"]
        assert valkey["command"][1] in {volume.split(":")[1] for volume in valkey["volumes"]}
