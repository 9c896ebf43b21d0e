"""
The registry of transports: the installed kinds, found by entry points, those of this package included.

A distribution registers a subclass of `TransportModel` in the group `climate_ref_prefect.transports`, by the name that
its `kind` has. Errors and lists name a transport that cannot be used. The others work as before.
"""

import difflib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Final, NamedTuple, cast, get_args

from pydantic import PydanticUserError

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.transports.base_transport import TransportModel
from climate_ref_prefect.transports.port import Traits

GROUP: Final = "climate_ref_prefect.transports"
"""Group of entry points in which transports register."""
_OURS: Final = "climate-ref-prefect"
RESERVED: Final = ("site",)
"""Names that no transport may have, because they mean a site profile where a transport is chosen."""


class UnusableTransport(NamedTuple):
    """A registered transport that cannot be used."""

    kind: str
    distribution: str
    """The distribution that has registered it."""
    reason: str

    def __str__(self) -> str:
        """Return a sentence that names the distribution and the reason."""
        return f"The transport `{self.kind}`, which {self.distribution} has registered, cannot be used: {self.reason}"


def transport_class(kind: str) -> type[TransportModel]:
    """
    Return the class of a kind of transport. Only its own module is imported.

    Raises
    ------
    BadInputError
        If there is no such kind, or its module cannot be imported. The message lists the existing kinds.
    """
    if kind not in _registered():
        close = difflib.get_close_matches(kind, _registered(), 1)
        meant = f" (is it `{close[0]}`?)" if close else ""
        raise BadInputError(f"there is no transport of the kind {kind!r}{meant}; there are {', '.join(kinds())}.")
    found = _load(kind)
    if isinstance(found, UnusableTransport):
        raise BadInputError(f"{found} There are {', '.join(name for name in kinds() if name != kind)}.")
    return found


def find_transport_class(kind: str) -> type[TransportModel] | None:
    """Return the class of a kind of transport; None if it does not exist or cannot be used."""
    found = _load(kind) if kind in _registered() else None
    return None if isinstance(found, UnusableTransport) else found


def traits_of(kind: str | None) -> Traits:
    """Return the traits of a kind of transport by its recorded name; the safe defaults if it is unknown."""
    found = find_transport_class(kind) if kind else None
    return found.traits if found else Traits()


def kinds() -> list[str]:
    """Return the names of all that are registered, in alphabetical order, without importing any."""
    return sorted(_registered())


def usable_transports() -> Mapping[str, type[TransportModel]]:
    """Import all usable transports and return them by name, in alphabetical order."""
    found = ((kind, _load(kind)) for kind in kinds())
    return {kind: one for kind, one in found if not isinstance(one, UnusableTransport)}


def unusable_transports() -> Sequence[UnusableTransport]:
    """Import all transports and return those that cannot be used, each with the reason."""
    broken = [one for kind in kinds() if isinstance(one := _load(kind), UnusableTransport)]
    hidden = [
        UnusableTransport(kind, _distribution(point), f"{_OURS} itself has a transport of this name.")
        for kind in usable_transports()
        for point in _registered()[kind]
        if len(_registered()[kind]) > 1 and _distribution(point) != _OURS
    ]
    return [*broken, *hidden]


@cache
def _registered() -> Mapping[str, Sequence[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = defaultdict(list)
    for point in entry_points(group=GROUP):
        found[point.name].append(point)
    if not found:
        raise BadInputError(
            "No transport is registered, not even those of this package: it is not installed, or its metadata is "
            "older than its code. Install it again (`make venv` in a checkout)."
        )
    return dict(found)


@cache
def _load(kind: str) -> type[TransportModel] | UnusableTransport:
    """Import a transport and check it. The result is cached, failures included."""
    points = _registered()[kind]
    point = points[0]
    if len(points) > 1:
        ours = [one for one in points if _distribution(one) == _OURS]
        if not ours:
            return UnusableTransport(
                kind, " and ".join(map(_distribution, points)), "each has registered this name; uninstall all but one."
            )
        point = ours[0]
    try:
        loaded: object = point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, it must not keep others from working
        reason = f"{point.value} cannot be imported: {type(error).__name__}: {error}"
    else:
        reason = _what_is_wrong(kind, loaded)
    if reason:
        return UnusableTransport(kind, _distribution(point), f"{reason.rstrip('.')}.")
    return cast("type[TransportModel]", loaded)


def _what_is_wrong(kind: str, loaded: object) -> str:
    if kind in RESERVED:
        return f"`{kind}` means a site profile; choose another name"
    if not (isinstance(loaded, type) and issubclass(loaded, TransportModel)):
        return f"{loaded!r} is no subclass of TransportModel"
    if lacking := sorted(loaded.__abstractmethods__):
        return f"{loaded.__name__} does not implement {', '.join(lacking)}"
    field = loaded.model_fields.get("kind")
    if field is None or get_args(field.annotation) != (kind,) or field.default != kind:
        return f'{loaded.__name__} must have the field `kind: Literal["{kind}"] = "{kind}"`'
    return _what_no_form_can_show(loaded) if loaded.traits.fields_in_forms else ""


def _what_no_form_can_show(model: type[TransportModel]) -> str:
    if model.__module__.partition(".")[0] == __name__.partition(".")[0]:
        return ""  # The tests check ours, and the check would slow down each start of a coordinator.
    try:
        model.model_json_schema()
    except PydanticUserError as error:
        return f"a form cannot show its fields: {error.message}"
    return ""


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "something without a name"
