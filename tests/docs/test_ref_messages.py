"""The messages in the how-to of climate-ref are those of the code, and those that people can get are there."""

import pytest

from tests.docs.messages import is_one_of, messages_of_page, modules, raised, texts

FOR_PEOPLE = {"BadInputError", "UpstreamMissingError", "TimeoutError", "SchemaError"}
"""Errors that end a command or a call. Others are the failure of one execution, which has its kind."""

OF_CLIMATE_REF = {
    "micromamba is not available at ...",
    "Conda environment for ... is not available",
    "Diagnostic scalar values do not conform with the controlled vocabulary",
}
"""Messages of climate-ref itself; `tests/ref/test_ref_messages.py` looks for them there."""

OF_OTHERS = {"No module named 'psycopg'", "'psycopg2'"}
"""Messages of Python."""


def test_every_message_on_the_page_is_one_of_the_code() -> None:
    known = list(texts(modules()))
    ours = [message for message in messages_of_page() if message not in OF_CLIMATE_REF | OF_OTHERS]
    assert len(ours) > 20
    assert [message for message in ours if not is_one_of(message, known)] == []


def test_every_error_for_people_is_on_the_page() -> None:
    shown = messages_of_page()
    errors = list(raised(FOR_PEOPLE))
    assert len(errors) > 10
    assert [error for error in errors if not any(is_one_of(message, [error]) for message in shown)] == []


@pytest.mark.parametrize("message", ["The table of hints ... cannot be eaten", "No provider of REF likes ..."])
def test_what_the_code_does_not_say_is_found(message: str) -> None:
    assert not is_one_of(message, list(texts(modules())))
