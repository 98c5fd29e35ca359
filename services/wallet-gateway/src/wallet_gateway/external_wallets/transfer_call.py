"""The write call of a ``crm-v1`` wallet: its form in bodies, in the database, and for the client."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StrictBool, StrictInt, model_validator

from shared.wire_fields import NUMBER_MAX, StrictBody
from wallet_gateway.protocols.endpoint import TransferCall, TransferField

FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$")]
WholeNumber = Annotated[StrictInt, Field(ge=-NUMBER_MAX, le=NUMBER_MAX)]
_NEEDED: frozenset[TransferField] = frozenset({"op", "owner_ref", "amount", "currency"})


class TransferCallIn(StrictBody):
    """How transfers are ordered from a wallet of the older protocol, whose write call is not documented: nothing is guessed.

    The request is a JSON object with the fields named here, ours → theirs. It was done when the answer is 200 or 201 with a
    JSON object in which `success_field` is `success_value`; every other outcome is unknown and goes to manual review.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "transfer_path": "/transfers",
                    "method": "POST",
                    "fields": {
                        "transfer_id": "external_id",
                        "op": "type",
                        "owner_ref": "external_user_id",
                        "amount": "amount",
                        "currency": "currency",
                    },
                    "success_field": "status",
                    "success_value": "done",
                }
            ]
        }
    )

    transfer_path: Annotated[
        str,
        Field(max_length=256, pattern=r"^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$", description="Below the base URL."),
    ]
    method: Literal["POST", "PUT"] = "POST"
    fields: dict[TransferField, FieldName]
    success_field: FieldName
    success_value: Annotated[str, Field(max_length=64)] | WholeNumber | StrictBool
    credit_value: Annotated[str, Field(min_length=1, max_length=64)] = "credit"
    debit_value: Annotated[str, Field(min_length=1, max_length=64)] = "debit"
    amount_as: Literal["string", "number"] = "string"

    @model_validator(mode="after")
    def _says_what_it_must(self) -> Self:
        if missing := sorted(_NEEDED - self.fields.keys()):
            raise ValueError(f"fields must name {', '.join(missing)}")
        if len(set(self.fields.values())) != len(self.fields):
            raise ValueError("fields must not name one of theirs twice")
        if self.credit_value == self.debit_value:
            raise ValueError("credit_value and debit_value must differ")
        return self


def transfer_call_of(stored: dict[str, Any]) -> TransferCall:
    """Return the client's form of what is stored, which is ``TransferCallIn.model_dump()``."""
    values = dict(stored)
    return TransferCall(path=values.pop("transfer_path"), **values)
