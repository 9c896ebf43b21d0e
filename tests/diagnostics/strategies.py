"""Hypothesis strategies for the values of `diagnostics`."""

from datetime import timedelta
from pathlib import Path

from hypothesis import strategies as st
from pydantic import JsonValue

from climate_ref_prefect.diagnostics.data_requirement import DataRequirement
from climate_ref_prefect.diagnostics.execution_definition import Dataset, ExecutionDefinition, ProviderReference
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult, Series, SeriesCollection
from climate_ref_prefect.diagnostics.metric_bundle import ATTRIBUTES, MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle, OutputFile, Provenance
from climate_ref_prefect.diagnostics.provider import DiagnosticDescription, ProviderDescription
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.envelope import ExecutionEnvelope, WorkerLimits
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionFailure, ExecutionOutcome, FileRecord, Telemetry

texts = st.text(max_size=12)
names = st.from_regex(r"[a-z][a-z0-9_]{0,7}", fullmatch=True)
slugs = st.from_regex(r"[a-z0-9][a-z0-9-]{0,7}", fullmatch=True)
finite = st.floats(allow_nan=False, allow_infinity=False)
not_negative = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
json_values: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | texts,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(texts, below, max_size=3),
    max_leaves=5,
)
attributes = st.dictionaries(texts, json_values, max_size=3)
facets = st.dictionaries(names, texts, max_size=3)
paths = st.lists(names, min_size=1, max_size=3).map(lambda parts: Path("/", *parts))
relative_paths = st.lists(names, min_size=1, max_size=3).map("/".join)

resource_hints = st.builds(
    ResourceHint,
    memory_mb=st.integers(min_value=1),
    cpu=st.integers(min_value=1),
    wall_clock=st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=36_500)),
    queue=st.none() | names,
)
datasets = st.builds(
    Dataset,
    instance_id=texts,
    facets=facets,
    files=st.lists(paths, min_size=1, max_size=3).map(tuple),
    fingerprint=texts,
)
definitions = st.builds(
    ExecutionDefinition,
    provider=slugs,
    provider_version=texts,
    diagnostic=slugs,
    diagnostic_version=texts,
    key=texts,
    selectors=facets,
    datasets=st.lists(datasets, min_size=1, max_size=2).map(tuple),
)
envelopes = st.builds(
    ExecutionEnvelope,
    execution_id=st.integers(),
    fragment=relative_paths,
    provider=st.builds(
        ProviderReference,
        target=st.tuples(names, names).map(":".join),
        isolation=st.sampled_from(["warm", "fresh"]),
    ),
    definition=definitions,
    resources=resource_hints,
    limits=st.builds(
        WorkerLimits,
        import_deadline_seconds=st.floats(min_value=0.001, max_value=1e9),
        kill_grace_seconds=not_negative,
        heartbeat_seconds=st.floats(min_value=0.001, max_value=1e9),
        memory_tolerance=st.none() | not_negative,
        finish_without_caller=st.booleans(),
    ),
)
telemetries = st.builds(
    Telemetry,
    sequence=st.integers(min_value=0),
    duration_seconds=not_negative,
    cpu_seconds=not_negative,
    peak_rss_mb=not_negative,
    memory_source=texts,
    host=texts,
    started_at=finite,
    exit_code=st.none() | st.integers(),
    transport_meta=attributes,
)
failures = st.builds(ExecutionFailure, kind=st.sampled_from(FailureKind), message=texts, details=texts)
file_records = st.builds(
    FileRecord,
    path=relative_paths,
    size_bytes=st.integers(min_value=0),
    sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
)
outcomes = st.builds(
    ExecutionOutcome,
    execution_id=st.integers(),
    failure=st.none() | failures,
    manifest=st.lists(file_records, max_size=2).map(tuple),
    telemetry=telemetries,
)

_values = texts.filter(lambda value: value != ATTRIBUTES)


@st.composite
def metric_bundles(draw: st.DrawFn) -> MetricBundle:
    """Draw a bundle of one to three dimensions."""
    structure = tuple(draw(st.lists(names.map(lambda n: f"d_{n}"), min_size=1, max_size=3, unique=True)))
    addresses = st.tuples(*[_values for _ in structure])
    scalars = draw(st.dictionaries(addresses, st.none() | st.integers() | finite, max_size=4))
    return MetricBundle.from_scalars(structure, scalars, provenance=draw(attributes))


output_files = st.builds(OutputFile, filename=relative_paths, long_name=texts, description=texts, dimensions=facets)
_sections = st.dictionaries(texts, output_files, max_size=2)
output_bundles = st.builds(
    OutputBundle,
    index=st.none() | texts,
    provenance=st.builds(
        Provenance,
        environment=attributes,
        modeldata=st.lists(texts, max_size=2).map(tuple),
        obsdata=attributes,
        log=st.none() | texts,
    ),
    data=_sections,
    plots=_sections,
    html=_sections,
    metrics=_sections,
)


@st.composite
def series(draw: st.DrawFn) -> Series:
    """Draw a series of one to five values."""
    index = draw(st.lists(st.integers() | finite | texts, min_size=1, max_size=5))
    values = draw(st.lists(st.none() | finite, min_size=len(index), max_size=len(index)))
    return Series(
        dimensions=draw(st.dictionaries(names, texts, min_size=1, max_size=3)),
        index_name=draw(names),
        index=tuple(index),
        values=tuple(values),
        attributes=draw(attributes),
    )


distinct_series = st.lists(series(), max_size=2, unique_by=lambda one: one.index_name).map(tuple)
collections = st.builds(SeriesCollection, series=distinct_series)
results = st.builds(ExecutionResult, metrics=metric_bundles(), outputs=output_bundles, series=distinct_series)
requirements = st.builds(
    DataRequirement,
    filters=st.dictionaries(names, st.lists(texts, min_size=1, max_size=2).map(tuple), max_size=2),
    group_by=st.lists(names, min_size=1, max_size=3).map(tuple),
    at_least=st.integers(min_value=1),
)
provider_descriptions = st.builds(
    ProviderDescription,
    slug=slugs,
    name=texts,
    version=texts,
    isolation=st.sampled_from(["warm", "fresh"]),
    diagnostics=st.lists(
        st.builds(
            DiagnosticDescription, slug=slugs, name=texts, version=texts, data=requirements, resources=resource_hints
        ),
        max_size=2,
    ).map(tuple),
)
