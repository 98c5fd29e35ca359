"""Texts that callers choose and that are kept: names, descriptions, metadata. None of them may hold a credential."""

from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from shared.telemetry import CREDENTIAL_PATTERN, holds_secret


def _no_credential(text: str) -> str:
    if holds_secret(text):
        raise ValueError("holds a credential; treat it as leaked")
    return text


class _NoCredential:
    """The rule as pydantic checks it, and as the document says it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(_no_credential, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "not": {"pattern": CREDENTIAL_PATTERN}}


NO_CREDENTIAL = _NoCredential()
"""Refuses a text with one of our credentials in it, which every reader of the list, every log and every backup would show."""
