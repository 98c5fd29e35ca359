"""Types in bodies as JSON Schema means them, where pydantic alone would take more.

They stand last in an ``Annotated``, after the bounds, so that the bounds are in the document.
"""

from pydantic import AfterValidator, BeforeValidator


def _address_as_text(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError("an address is text")  # noqa: TRY004 - pydantic reports ValueError, not TypeError
    return value


def _trimmed(text: str) -> str:
    trimmed = text.strip()
    if not trimmed:
        raise ValueError("must not be blank")
    return trimmed


TRIMMED = AfterValidator(_trimmed)
"""Takes spaces off both ends of a text, after its length was looked at as it was sent."""
ADDRESS_AS_TEXT = BeforeValidator(_address_as_text)
"""A number or a truth value is no address."""
WITHOUT_NUL = r"^[^\x00]*$"
"""The pattern of a text that is kept: Postgres stores no NUL."""
NOT_BLANK = r"^[^\x00]*[^\s\x00][^\x00]*$"
"""The same of a text whose ends are trimmed, and that is not empty then."""
