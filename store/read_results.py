"""Read results from bundles, to record them in the store."""

from pathlib import Path
from typing import NamedTuple

from climate_ref_prefect.diagnostics.controlled_vocabulary import Vocabulary
from climate_ref_prefect.diagnostics.errors import VocabularyMismatchError
from climate_ref_prefect.diagnostics.execution_result import (
    METRIC_BUNDLE,
    OUTPUT_BUNDLE,
    SERIES,
    Series,
    SeriesCollection,
)
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle


class Results(NamedTuple):
    """The bundles of one execution."""

    metrics: MetricBundle
    outputs: OutputBundle
    series: tuple[Series, ...]


def read_results(directory: Path) -> Results:
    """
    Return the bundles that lie in a directory.

    Raises
    ------
    OSError, ValueError, SchemaMismatchError
        If one of them is missing, cannot be read, or is not a bundle.
    """
    return Results(
        metrics=MetricBundle.model_validate_json((directory / METRIC_BUNDLE).read_bytes()),
        outputs=OutputBundle.model_validate_json((directory / OUTPUT_BUNDLE).read_bytes()),
        series=SeriesCollection.from_json((directory / SERIES).read_bytes()).series,
    )


def check_vocabulary(results: Results, vocabulary: Vocabulary, *, strict: bool) -> tuple[str, ...]:
    """
    Check results against a vocabulary.

    Parameters
    ----------
    results
        The results to be recorded.
    vocabulary
        The dimensions and values that it may use.
    strict
        Whether a mismatch is an error; otherwise it is a warning.

    Returns
    -------
    Warnings for people.

    Raises
    ------
    VocabularyMismatchError
        If anything does not match; it lists all that does not.
    """
    try:
        vocabulary.check(results.metrics, results.series, results.outputs)
    except VocabularyMismatchError as error:
        if strict:
            raise
        return (str(error),)
    return ()
