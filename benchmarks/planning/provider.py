"""Providers whose executions are planned and never run, for today's code and for that of an earlier commit."""

from typing import Any

from benchmarks.earlier_names import imported

_Diagnostic = imported("Diagnostic", "diagnostics.diagnostic")
_DiagnosticProvider = imported("DiagnosticProvider", "diagnostics.provider")
_DataRequirement = imported("DataRequirement", "diagnostics.data_requirement", "diagnostics.requirement")


def _refuse(*_: object) -> None:
    raise RuntimeError("This benchmark plans; it runs nothing.")


def _provider(slug: str, *, with_ensemble: bool) -> Any:
    attributes = {
        "slug": slug,
        "name": slug,
        "data": _DataRequirement(group_by=("source_id",), with_ensemble=with_ensemble),
        "run": _refuse,
    }
    return _DiagnosticProvider("benchmark", "Benchmark", "1", [type(slug, (_Diagnostic,), attributes)()])


alone = _provider("alone", with_ensemble=False)
ensemble = _provider("ensemble", with_ensemble=True)
