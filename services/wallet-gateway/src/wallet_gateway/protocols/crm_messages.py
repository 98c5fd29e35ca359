"""The bodies of ``crm-v1`` (design: crm-compat.md), read exactly. Pure.

Its amounts are JSON numbers: their text is read as a decimal, never through a float, and written with the wallet's ``decimals``.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import orjson
from jiter import LosslessFloat
from pydantic import ValidationError

from shared import strict_json
from shared.crm_signatures import sha1_signature
from shared.ewp.messages import BalancePage, MalformedAnswerError, TransferAnswer, TransferOrder, WalletBalance
from shared.ewp.money import MoneyError, at_scale, format_amount, scale_of
from wallet_gateway.protocols.endpoint import TransferCall, TransferField

_NUMBER_CHARS_MAX: Final = 64
_SKIP_MAX: Final = 10**9


def wallets_request(*, owner_refs: Sequence[str], skip: int, limit: int, key: str) -> tuple[bytes, str]:
    """Return the body of ``POST {base_url}/wallets`` and its ``signature``."""
    fields: dict[str, Any] = {"skip": skip, "limit": limit}
    if owner_refs:
        fields["external_user_id"] = list(owner_refs)
    return orjson.dumps(fields), sha1_signature(fields, key=key)


def parse_skip(cursor: str | None) -> int:
    """Return how many wallets to skip; raises ValueError for a cursor that is not one of ours."""
    if cursor is None:
        return 0
    if not cursor.isascii() or not cursor.isdigit() or int(cursor) > _SKIP_MAX:
        raise ValueError("not a cursor")
    return int(cursor)


def page_parser(
    *, owner_refs: Sequence[str], currency: str | None, skip: int, limit: int, as_of: datetime
) -> Callable[[bytes], BalancePage]:
    """Return the reader of one ``{data, count}``; the older call knows no currency, so that is chosen here."""

    def parse(body: bytes) -> BalancePage:
        answer = _object(strict_json_loads(body))
        data, count = answer.get("data"), answer.get("count")
        if not isinstance(data, list) or isinstance(count, bool) or not isinstance(count, int):
            raise MalformedAnswerError("an answer is {data: [wallet], count}")
        if len(data) > limit:
            raise MalformedAnswerError("more wallets than were asked for", pointer="/data")
        wallets = [_wallet(_object(item), as_of=as_of) for item in data]
        if owner_refs and any(wallet.owner_ref not in owner_refs for wallet in wallets):
            raise MalformedAnswerError("another owner's wallet", pointer="/data")
        seen = skip + len(data)
        return BalancePage(
            data=[wallet for wallet in wallets if currency in {None, wallet.currency}],
            next_cursor=str(seen) if data and seen < count else None,
        )

    return parse


def wallet_parser(
    *, wallet_id: str, owner_ref: str, currency: str, as_of: datetime
) -> Callable[[bytes], WalletBalance]:
    """Return the reader of one unwrapped wallet, which must be the one that was asked for."""

    def parse(body: bytes) -> WalletBalance:
        wallet = _wallet(_object(strict_json_loads(body)), as_of=as_of)
        if (wallet.wallet_id, wallet.owner_ref, wallet.currency) != (wallet_id, owner_ref, currency):
            raise MalformedAnswerError("another wallet")
        return wallet

    return parse


def transfer_request(call: TransferCall, order: TransferOrder, *, key: str) -> tuple[bytes, str]:
    """Return the body and the ``signature`` of the configured write call. A number is written with its currency's decimals."""
    amount = format_amount(order.amount, scale_of(order.currency))
    ours: dict[TransferField, str] = {
        "transfer_id": order.transfer_id,
        "op": call.credit_value if order.op == "credit" else call.debit_value,
        "wallet_id": order.wallet_id,
        "owner_ref": order.owner_ref,
        "amount": amount,
        "currency": order.currency,
        "reference": order.reference or "",
    }
    fields = {theirs: ours[name] for name, theirs in call.fields.items() if ours[name]}
    signature = sha1_signature(fields, key=key)
    written: dict[str, Any] = dict(fields)
    if call.amount_as == "number" and "amount" in call.fields:
        written[call.fields["amount"]] = orjson.Fragment(amount)
    return orjson.dumps(written), signature


def is_success(call: TransferCall, body: bytes) -> bool:
    """Tell whether an answer says exactly what the operator described as a success."""
    try:
        answer = strict_json.loads(body)
    except strict_json.MalformedJsonError:
        return False
    value = answer.get(call.success_field) if isinstance(answer, dict) else None
    return type(value) is type(call.success_value) and value == call.success_value


def committed(order: TransferOrder) -> TransferAnswer:
    """Return what a success stands for; there is no feed, so ``seq`` is 0."""
    return TransferAnswer(
        transfer_id=order.transfer_id,
        state="committed",
        op=order.op,
        amount=order.amount,
        currency=order.currency,
        seq=0,
    )


def strict_json_loads(body: bytes) -> Any:
    """Parse by the rules of ``strict_json``; raises MalformedAnswerError."""
    try:
        return strict_json.loads(body)
    except strict_json.MalformedJsonError as error:
        raise MalformedAnswerError(error.detail, pointer=error.pointer) from error


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedAnswerError("is not a JSON object")
    return value


def _wallet(fields: dict[str, Any], *, as_of: datetime) -> WalletBalance:
    decimals = fields.get("decimals")
    if isinstance(decimals, bool) or not isinstance(decimals, int):
        raise MalformedAnswerError("decimals is an integer", pointer="/decimals")
    try:
        amount = at_scale(_exact(fields.get("amount")), decimals)
        return WalletBalance(
            wallet_id=_name(fields.get("id")),
            owner_ref=_name(fields.get("external_user_id")),
            currency=fields.get("currency"),  # type: ignore[arg-type] # judged by the model
            scale=decimals,
            ledger=amount,
            available=amount,
            held=Decimal(0),
            as_of=as_of,
            version=0,
        )
    except (MoneyError, ValidationError, ValueError) as error:
        raise MalformedAnswerError("is not a wallet") from error


def _name(value: Any) -> str:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _exact(value: Any) -> Decimal:
    """Return the value of a JSON number without the zeros at its end: 100.0 yen are 100 yen."""
    if isinstance(value, bool) or not isinstance(value, int | LosslessFloat):
        raise MalformedAnswerError("an amount is a number here", pointer="/amount")
    text = str(value) if isinstance(value, LosslessFloat) or abs(value) < 10**_NUMBER_CHARS_MAX else ""
    if not text or len(text) > _NUMBER_CHARS_MAX:
        raise MalformedAnswerError("an amount has too many digits", pointer="/amount")
    try:
        sign, digits, exponent = Decimal(text).as_tuple()
    except ArithmeticError as error:
        raise MalformedAnswerError("an amount is out of range", pointer="/amount") from error
    if sign or not isinstance(exponent, int):
        raise MalformedAnswerError("an amount is not negative", pointer="/amount")
    significant = "".join(map(str, digits)).rstrip("0")
    return (
        Decimal((0, tuple(map(int, significant)), exponent + len(digits) - len(significant)))
        if significant
        else Decimal(0)
    )
