"""A provider with a way of running and results of its own: a payload says what to write; it declares no diagnostic."""

from pathlib import Path

from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.execution_result import ResultFiles
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider

UNLISTED = "unlisted.txt"
FAILS_ONCE = "fails-once"
"""A file whose text is the path of another one: it cannot be written until that is there."""


class FileProvider(DiagnosticProvider):
    """Writes each file of the payload that has a text, and calls all of them its result."""

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ResultFiles:
        assert isinstance(definition.payload, dict)
        (output_directory / "below").mkdir(exist_ok=True)
        for name, text in definition.payload.items():
            if name == FAILS_ONCE and not Path(str(text)).exists():
                Path(str(text)).touch()
                raise OSError("it fails once")
            if text is not None:
                (output_directory / name).write_text(str(text), encoding="utf-8")
        (output_directory / UNLISTED).write_text(str(Path.cwd()), encoding="utf-8")
        return ResultFiles(files=tuple(definition.payload))


provider = FileProvider("files", "Writes files", "1", [])
