"""Read YAML files that people write, and refuse duplicate keys, of which YAML would drop one."""

from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """Refuses duplicate keys, of which YAML would drop the first."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for name, _ in node.value:
            if isinstance(name, yaml.ScalarNode) and name.value in seen:
                raise yaml.composer.ComposerError(
                    problem=f"`{name.value}` is there twice", problem_mark=name.start_mark
                )
            seen.add(str(name.value))
        return node


def load_strictly(path: Path) -> object:
    """
    Return the content of a YAML file.

    Parameters
    ----------
    path
        A file in UTF-8.

    Raises
    ------
    OSError, ValueError, yaml.YAMLError, RecursionError
        If it cannot be read, or is not UTF-8 text or valid YAML without duplicate keys.
    """
    return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe one
