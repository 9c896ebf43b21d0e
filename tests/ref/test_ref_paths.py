"""Paths of REF that are relative mean in a worker what they mean in the coordinator."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.path_variables import make_path_variables_absolute
from climate_ref_prefect.ref.payload import payload_of
from climate_ref_prefect.ref.provider_adapter import configured_provider

PROVIDER = "esmvaltool"


@pytest.fixture
def coordinator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the directory in which `ref` is called; REF's configuration lies in it, and this process is there."""
    directory = tmp_path / "coordinator"
    (directory / "configuration").mkdir(parents=True)
    (directory / "configuration" / "ref.toml").write_text('ignore_datasets_url = ""\n[paths]\nsoftware = "software"\n')
    monkeypatch.chdir(directory)
    monkeypatch.setenv(upstream.CONFIGURATION_VARIABLE, "configuration")
    return directory


def definition() -> Any:
    """Return an execution of REF on no data."""
    diagnostics, datasets = import_module("climate_ref_core.diagnostics"), import_module("climate_ref_core.datasets")
    diagnostic = upstream.provider_by_slug(PROVIDER).get("global-mean-timeseries")
    nothing = datasets.ExecutionDatasetCollection({})
    return diagnostics.ExecutionDefinition(diagnostic, "key", nothing, Path("/scratch/one"), Path("/scratch"))


def test_the_software_of_ref_toml_is_found_by_a_worker_elsewhere(
    coordinator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = payload_of(definition(), upstream.Config.default())
    monkeypatch.chdir(tmp_path)
    provider = configured_provider(PROVIDER, payload.configuration, payload.software)
    assert provider.prefix == coordinator / "software" / "conda"
    assert os.environ[upstream.CONFIGURATION_VARIABLE] == str(coordinator / "configuration")


def test_relative_variables_are_absolute_for_all_that_inherits_them(
    coordinator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"REF_SCRATCH_ROOT": "scratch", "REF_DATASET_CACHE_DIR": "$KIND/cache", "REF_RESULTS_ROOT": "/results"}
    for name, value in {**given, "KIND": "some", "REF_IGNORE_DATASETS_FILE": "~/grey.yaml", "HOME": "/home/me"}.items():
        monkeypatch.setenv(name, value)
    make_path_variables_absolute()
    assert {name: os.environ[name] for name in (*given, upstream.CONFIGURATION_VARIABLE)} == {
        "REF_SCRATCH_ROOT": str(coordinator / "scratch"),
        "REF_DATASET_CACHE_DIR": str(coordinator / "some" / "cache"),
        "REF_RESULTS_ROOT": "/results",
        upstream.CONFIGURATION_VARIABLE: str(coordinator / "configuration"),
    }
    assert os.environ["REF_IGNORE_DATASETS_FILE"] == "/home/me/grey.yaml"
