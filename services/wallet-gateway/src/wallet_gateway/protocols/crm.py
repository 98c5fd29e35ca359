"""``crm-v1`` over guarded HTTP: the older interface's reads, and its write call where an operator described one.

It has no idempotency and no way to ask what became of a write: whatever is not a clean success is unknown, and nobody may send it
again (``Endpoint.repeats_safely``). It sends the key in clear and does not sign what it reads; the API warns of that.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, NoReturn, TypeVar
from urllib.parse import quote

from shared.crm_signatures import UnsignableError
from shared.egress import DestinationRefused
from shared.egress import NotSent as NotSentError
from shared.ewp.messages import BalancePage, FeedPage, TransferOrder, WalletBalance, WellKnown
from wallet_gateway.protocols import crm_messages
from wallet_gateway.protocols.classification import classify_read
from wallet_gateway.protocols.endpoint import Endpoint, TransferCall
from wallet_gateway.protocols.results import CallRecord, Definitive, NotSent, Read, ReadFailed, StepResult, Unknown
from wallet_gateway.protocols.transport import PAGE_BYTES_MAX, STEP_BYTES_MAX, Exchange, Outgoing, Transport

T = TypeVar("T")

NOT_OFFERED: Final = "not_offered_by_protocol"
CANNOT_TRANSFER: Final = "protocol_cannot_transfer"
_SUCCESSES: Final = frozenset({200, 201})
_HEADERS: Final = {"accept": "application/json", "user-agent": "Causeway"}


class CrmClient:
    """See ``client.WalletClient``. What the interface does not have is never sent."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def well_known(self, endpoint: Endpoint) -> Read[WellKnown]:
        """Fail with ``not_offered_by_protocol``."""
        self._not_offered(endpoint)

    async def query_balances(
        self,
        endpoint: Endpoint,
        *,
        owner_refs: Sequence[str],
        currency: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Read[BalancePage]:
        """Return one page; ``as_of`` is the time of the question, since the answer has none."""
        skip = crm_messages.parse_skip(cursor)
        body, signature = crm_messages.wallets_request(
            owner_refs=owner_refs, skip=skip, limit=limit, key=_key(endpoint)
        )
        parse = crm_messages.page_parser(
            owner_refs=owner_refs, currency=currency, skip=skip, limit=limit, as_of=self._now()
        )
        return await self._read(endpoint, "POST", "/wallets", body=body, signature=signature, parse=parse)

    async def balance(
        self, endpoint: Endpoint, *, wallet_id: str, owner_ref: str | None = None, currency: str | None = None
    ) -> Read[WalletBalance]:
        """Return one wallet; raises ValueError without owner and currency, by which it is found here."""
        if owner_ref is None or currency is None:
            raise ValueError("crm-v1 finds a wallet by its owner and currency")
        path = f"/wallets/getOne?external_user_id={quote(owner_ref, safe='')}&currency={quote(currency, safe='')}"
        parse = crm_messages.wallet_parser(
            wallet_id=wallet_id, owner_ref=owner_ref, currency=currency, as_of=self._now()
        )
        return await self._read(endpoint, "GET", path, parse=parse)

    async def put_transfer(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        """Make the configured write call, once. Holds do not exist here: ``holds_not_supported``."""
        call = endpoint.transfer_call
        if call is None or order.mode == "hold":
            return self._not_sent(CANNOT_TRANSFER if call is None else "holds_not_supported")
        try:
            body, signature = crm_messages.transfer_request(call, order, key=_key(endpoint))
            request = self._outgoing(
                endpoint, call.method, call.path, body=body, signature=signature, response_bytes_max=STEP_BYTES_MAX
            )
        except DestinationRefused as refused:
            return self._not_sent(refused.code)
        except UnsignableError:
            return self._not_sent("request_unsignable")
        return _classify(await self._transport.exchange(request), call, order)

    async def commit(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        del endpoint, order
        return self._not_sent(NOT_OFFERED)

    async def cancel(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        del endpoint, order
        return self._not_sent(NOT_OFFERED)

    async def get_transfer(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        del endpoint, order
        return self._not_sent(NOT_OFFERED)

    async def feed(self, endpoint: Endpoint, *, after_seq: int, limit: int) -> Read[FeedPage]:
        """Fail with ``not_offered_by_protocol``."""
        del after_seq, limit
        self._not_offered(endpoint)

    async def _read(
        self,
        endpoint: Endpoint,
        method: str,
        path: str,
        *,
        parse: Callable[[bytes], T],
        body: bytes = b"",
        signature: str | None = None,
    ) -> Read[T]:
        try:
            request = self._outgoing(endpoint, method, path, body=body, signature=signature)
        except DestinationRefused as refused:
            raise ReadFailed(refused.code, sent=False, call=self._no_call()) from refused
        return classify_read(await self._transport.exchange(request), parse=parse, signature_fault=None)

    def _outgoing(
        self,
        endpoint: Endpoint,
        method: str,
        path: str,
        *,
        body: bytes,
        signature: str | None,
        response_bytes_max: int = PAGE_BYTES_MAX,
    ) -> Outgoing:
        """Return the request with its headers; raises DestinationRefused."""
        headers = {**_HEADERS, "key": _key(endpoint)}
        if body:
            headers["content-type"] = "application/json"
        if signature is not None:
            headers["signature"] = signature
        return Outgoing(
            method=method,
            destination=self._transport.destination(endpoint.base_url, path),
            headers=headers,
            body=body,
            deadline_seconds=endpoint.timeout_seconds,
            response_bytes_max=response_bytes_max,
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._transport.now(), UTC)

    def _no_call(self) -> CallRecord:
        return self._transport.record(self._transport.now())

    def _not_sent(self, code: str) -> NotSent:
        return NotSent(code=code, call=self._no_call())

    def _not_offered(self, _endpoint: Endpoint) -> NoReturn:
        raise ReadFailed(NOT_OFFERED, sent=False, call=self._no_call())


def _classify(exchange: Exchange, call: TransferCall, order: TransferOrder) -> StepResult:
    if isinstance(exchange.error, NotSentError):
        return NotSent(code=exchange.error.code, call=exchange.call)
    if exchange.error is not None:
        return Unknown(code=exchange.error.code, call=exchange.call)
    if exchange.truncated:
        return Unknown(code="response_too_large", call=exchange.call)
    if exchange.status not in _SUCCESSES:
        return Unknown(code=f"http_{exchange.status}", call=exchange.call)
    if not crm_messages.is_success(call, exchange.body):
        return Unknown(code="answer_malformed", call=exchange.call)
    return Definitive(answer=crm_messages.committed(order), call=exchange.call)


def _key(endpoint: Endpoint) -> str:
    """Return the newest key: this interface has one ``key`` header, so a rotation here has no overlap."""
    return endpoint.keys[0].secret.get_secret_value()
