"""What the files of deployments and the server's settings say, and the schemas that Prefect makes its forms of."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from climate_ref_prefect.flows.reingest import reingest
from climate_ref_prefect.flows.replay_abandoned import replay_abandoned
from climate_ref_prefect.flows.retry.retry_rules import RetryRule
from climate_ref_prefect.flows.server.server_settings import SERVER_SETTINGS
from climate_ref_prefect.flows.solve import plan, run_diagnostic, solve
from climate_ref_prefect.ref.flows import ref_plan, ref_recover, ref_solve
from climate_ref_prefect.ref.solve_request import AS_CONFIGURED
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport

ROOT = Path(__file__).resolve().parents[2]
TEXT, TEXTS = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
RERUN = {"type": "string", "enum": ["none", "failed", "all"]}
AUTOMATIONS = {
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "true",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "true",
}
FAIL_IF = {"type": "string", "enum": ["given_up", "any", "all", "none"]}
RULES = {"type": "array", "items": {"$ref": "#/definitions/RetryRule"}}
CHOICES = {"local": "LocalTransport", "inline": "InlineTransport", "site": "Site"}
"""By `kind`. There is none with lines that a shell runs: those are in site profiles."""
TRANSPORT: dict[str, Any] = {
    "type": "object",
    "oneOf": [{"$ref": f"#/definitions/{name}"} for name in CHOICES.values()],
    "discriminator": {
        "propertyName": "kind",
        "mapping": {kind: f"#/definitions/{name}" for kind, name in CHOICES.items()},
    },
}
CONFIGURED = {
    "type": "object",
    "oneOf": [{"$ref": "#/definitions/ConfiguredTransport"}, *TRANSPORT["oneOf"]],
    "discriminator": {
        "propertyName": "kind",
        "mapping": {"configured": "#/definitions/ConfiguredTransport", **TRANSPORT["discriminator"]["mapping"]},
    },
}
PLANNED = {
    "data": TEXT,
    "providers": TEXTS,
    "diagnostics": {"anyOf": [TEXTS, {"type": "null"}]},
    "transport": TRANSPORT,
    "rerun": RERUN,
    "retry_rules": RULES,
    "rescan": {"type": "boolean"},
}
MANY = {**PLANNED, "fail_if": FAIL_IF}
ONE = {
    "diagnostic": TEXT,
    "key": TEXT,
    "provider": TEXT,
    "data": TEXT,
    "transport": TRANSPORT,
    "rerun": RERUN,
    "retry_rules": RULES,
    "rescan": {"type": "boolean"},
    "fail_if": FAIL_IF,
}
SOME_KINDS = {"type": "array", "items": {"$ref": "#/definitions/FailureKind"}}
CHOSEN = {
    "execution_ids": {"type": "array", "items": {"type": "integer"}},
    "providers": {"anyOf": [TEXTS, {"type": "null"}]},
    "diagnostics": {"anyOf": [TEXTS, {"type": "null"}]},
    "kinds": {"anyOf": [SOME_KINDS, {"type": "null"}]},
    "failed_only": {"type": "boolean"},
}
NULL = {"type": "null"}
FACETS = {"type": "array", "items": {"type": "string", "pattern": r"^[^=\s]+=.+$"}}
OF_REF = {
    "providers": {"anyOf": [TEXTS, NULL]},
    "diagnostics": {"anyOf": [TEXTS, NULL]},
    "exclude_diagnostics": {"anyOf": [TEXTS, NULL]},
    "dataset_filters": {"anyOf": [FACETS, NULL]},
    "transport": CONFIGURED,
    "limit": {"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, NULL]},
    "one_per_provider": {"type": "boolean"},
    "one_per_diagnostic": {"type": "boolean"},
    "rerun_failed": {"type": "boolean"},
}
FLOWS = [pytest.param(solve, MANY, id="solve"), pytest.param(plan, PLANNED, id="plan")]
FLOWS.append(pytest.param(run_diagnostic, ONE, id="run-diagnostic"))
FLOWS.append(pytest.param(replay_abandoned, {"transport": TRANSPORT, "retry_rules": RULES}, id="replay-abandoned"))
FLOWS.append(pytest.param(reingest, CHOSEN, id="reingest"))
REF_SOLVE = {**OF_REF, "timeout_seconds": {"type": "integer"}, "retry_rules": RULES, "fail_if": FAIL_IF}
FLOWS.append(pytest.param(ref_solve, REF_SOLVE, id="ref-solve"))
FLOWS.append(pytest.param(ref_plan, OF_REF, id="ref-plan"))
FLOWS.append(pytest.param(ref_recover, {"transport": CONFIGURED, "retry_rules": RULES}, id="ref-recover"))
OWN, REF = "prefect.yaml", "deployments/climate-ref.yaml"


def deployments(*files: str) -> list[dict[str, Any]]:
    return [item for file in files for item in yaml.safe_load((ROOT / file).read_text())["deployments"]]


def schema(flow: Flow[..., Any]) -> dict[str, Any]:
    return parameter_schema(flow).model_dump_for_openapi()


@pytest.mark.parametrize(("flow", "expected"), FLOWS)
def test_parameters_have_their_types(flow: Flow[..., Any], expected: dict[str, object]) -> None:
    beside_types = ("title", "description", "default", "position")
    properties = schema(flow)["properties"]
    types = {
        name: {key: value for key, value in properties[name].items() if key not in beside_types} for name in properties
    }
    assert types == expected


@pytest.mark.parametrize(("flow", "expected"), FLOWS)
def test_each_parameter_says_what_it_is(flow: Flow[..., Any], expected: dict[str, object]) -> None:
    descriptions = {name: field.get("description") for name, field in schema(flow)["properties"].items()}
    assert descriptions.keys() == expected.keys()
    assert [name for name, description in descriptions.items() if not description] == []


@pytest.mark.parametrize("transport", CHOICES.values())
def test_each_field_of_a_transport_says_what_it_is(transport: str) -> None:
    fields = schema(solve)["definitions"][transport]["properties"]
    assert [name for name, field in fields.items() if name != "kind" and not field.get("description")] == []


def test_each_field_of_a_retry_rule_says_what_it_is() -> None:
    fields = schema(solve)["definitions"]["RetryRule"]["properties"]
    assert fields.keys() == RetryRule.model_fields.keys()
    assert [name for name, field in fields.items() if not field.get("description")] == []


@pytest.mark.parametrize("flow", [solve, plan, run_diagnostic, replay_abandoned])
def test_the_default_transport_says_its_kind(flow: Flow[..., Any]) -> None:
    assert schema(flow)["properties"]["transport"]["default"]["kind"] == "local"


def test_there_are_five_deployments() -> None:
    names = [deployment["name"] for deployment in deployments(OWN)]
    assert names == ["solve", "solve-nightly", "run-diagnostic", "replay-abandoned", "reingest"]


def test_what_is_scheduled_is_the_nightly_solve_and_the_recovery() -> None:
    scheduled = {item["name"]: item["schedules"][0]["cron"] for item in deployments(OWN) if "schedules" in item}
    assert scheduled == {"solve-nightly": "0 2 * * *", "replay-abandoned": "30 */6 * * *"}


def test_of_climate_ref_there_are_three_and_the_recovery_alone_runs_by_itself() -> None:
    schedules = {item["name"]: item.get("schedules", []) for item in deployments(REF)}
    active = {name: [one["cron"] for one in given if one["active"]] for name, given in schedules.items()}
    assert active == {"ref-solve": [], "ref-plan": [], "ref-recover": ["45 */6 * * *"]}


@pytest.mark.parametrize("deployment", deployments(OWN, REF), ids=lambda deployment: str(deployment["name"]))
def test_parameters_of_a_deployment_are_the_defaults_of_its_flow(deployment: dict[str, Any]) -> None:
    flow: Flow[..., Any] = load_flow_from_entrypoint(deployment["entrypoint"])
    signature = inspect.signature(flow.fn).parameters
    defaults = {
        name: given.default for name, given in signature.items() if given.default is not inspect.Parameter.empty
    }
    if "transport" in defaults:
        assert defaults["transport"] in (LocalTransport(), AS_CONFIGURED)
        defaults["transport"] = {"kind": defaults["transport"].kind}
    assert deployment["parameters"] == defaults


def test_the_environment_file_has_the_settings_of_our_own_server_and_automations() -> None:
    lines = (ROOT / "deployments" / "prefect-server.env").read_text().splitlines()
    settings = dict(line.split("=", maxsplit=1) for line in lines if line and not line.startswith("#"))
    assert settings == {**SERVER_SETTINGS, **AUTOMATIONS}
