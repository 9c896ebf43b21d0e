"""Format exceptions of providers, malformed ones included: no function here raises or loops for ever."""

import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

_EXCEPTIONS_AT_MOST: Final = 1000
"""Longer chains help no reader, and some chains are endless."""
_CHARACTERS_AT_MOST: Final = 100_000


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes, each once, because the chain may be a circle."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen and len(seen) < _EXCEPTIONS_AT_MOST:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__


def leaves(error: BaseException) -> list[BaseException]:
    """Return the exceptions in a group, at any depth, each once; of any other exception, return it alone."""
    found: list[BaseException] = []
    seen: set[int] = set()
    waiting = [error]
    while waiting and len(seen) < _EXCEPTIONS_AT_MOST:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(reversed(_members(one)))
        else:
            found.append(one)
    return found or [error]


def _members(error: BaseException) -> tuple[BaseException, ...]:
    """Return the members of a group; empty if the exception is not a group."""
    try:
        return tuple(error.exceptions) if isinstance(error, BaseExceptionGroup) else ()
    except Exception:  # noqa: BLE001 - an attribute of the provider's own, which may do anything
        return ()


def _can_be_formatted(error: BaseException) -> bool:
    """Whether Python can format it in finite time: it would follow groups that contain themselves for ever."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        seen.add(id(one))
        members = _members(one)
        if len(seen) > _EXCEPTIONS_AT_MOST or any(id(member) in seen for member in members):
            return False
        raised_from = (one.__cause__, one.__context__)
        waiting.extend(cause for cause in raised_from if cause is not None and id(cause) not in seen)
        seen.update(id(member) for member in members)
        waiting.extend(members)
    return True


def describe_exception(error: BaseException) -> str:
    """Return the type and the message of an exception, in one line if the message has one line."""
    return f"{_name_of(error)}: {text_of(error).strip() or 'no message'}"


def _name_of(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}"
    except Exception:  # noqa: BLE001 - a metaclass of the provider's own, which may do anything
        return "Exception"


def text_of(error: BaseException) -> str:
    """Return the message of an exception; if reading the message fails, say so."""
    try:
        return str(error)[:_CHARACTERS_AT_MOST]
    except BaseException as failed:  # noqa: BLE001 - code of the provider's own, which may do anything
        return f"its message cannot be read: {type(failed).__name__}"


def format_exception(error: BaseException) -> str:
    """Return the traceback of an exception. If Python cannot format it, return the part that can be formatted."""
    if _can_be_formatted(error):
        with suppress(BaseException):  # This runs code of the provider, which may do anything.
            return "".join(traceback.format_exception(error))
    frames = traceback.format_tb(error.__traceback__)
    return "".join(["Traceback (most recent call last):\n", *frames, f"{describe_exception(error)}\n"])
