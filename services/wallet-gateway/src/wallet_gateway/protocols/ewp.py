"""``ewp/1`` over guarded HTTP: every request signed, every answer judged. The WalletClient of wallets that speak it."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar
from urllib.parse import quote

from shared.egress import DestinationRefused
from shared.ewp.messages import (
    BalancePage,
    BalanceQuery,
    FeedPage,
    MalformedAnswerError,
    TransferOrder,
    WalletBalance,
    WellKnown,
    parse_balance,
    parse_balance_page,
    parse_feed_page,
    parse_well_known,
)
from shared.ewp.signature_errors import SignatureMissingError, SignatureRefusedError
from shared.ewp.signatures import Request, sign_request, verify_response
from shared.ewp.signing_keys import Ed25519SigningKey, Ed25519VerifyingKey, HmacKey, SigningKey, VerifyingKey
from wallet_gateway.protocols.classification import Action, classify_read, classify_step
from wallet_gateway.protocols.endpoint import Endpoint, WalletKey
from wallet_gateway.protocols.results import CallRecord, NotSent, Read, ReadFailed, StepResult
from wallet_gateway.protocols.transport import PAGE_BYTES_MAX, STEP_BYTES_MAX, Exchange, Outgoing, Transport

T = TypeVar("T")

WELL_KNOWN_PATH: Final = "/.well-known/external-wallet"
_HEADERS: Final = {"accept": "application/json", "user-agent": "Causeway"}


@dataclass(frozen=True, slots=True)
class _Judged:
    exchange: Exchange
    signature_fault: str | None


class _NotMade(Exception):  # noqa: N818 - a named fact
    def __init__(self, code: str, call: CallRecord) -> None:
        super().__init__(code)
        self.code = code
        self.call = call


class EwpClient:
    """See ``client.WalletClient``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def well_known(self, endpoint: Endpoint) -> Read[WellKnown]:
        """Ask what the system can do; the answer may be unsigned also where signatures are demanded."""
        lenient = replace(endpoint, response_signatures="optional")
        return await self._read(lenient, "GET", WELL_KNOWN_PATH, parse=parse_well_known)

    async def query_balances(
        self,
        endpoint: Endpoint,
        *,
        owner_refs: Sequence[str],
        currency: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Read[BalancePage]:
        """Return one page; one that holds what was not asked for is refused."""
        query = BalanceQuery(owner_refs=list(owner_refs), currency=currency, cursor=cursor, limit=limit)

        def parse(body: bytes) -> BalancePage:
            page = parse_balance_page(body)
            _refuse_unless(len(page.data) <= limit, "more wallets than were asked for")
            for wallet in page.data:
                _refuse_unless(not owner_refs or wallet.owner_ref in owner_refs, "another owner's wallet")
                _refuse_unless(currency in {None, wallet.currency}, "another currency")
            return page

        return await self._read(endpoint, "POST", "/v1/balances:query", body=query.to_json(), parse=parse)

    async def balance(
        self, endpoint: Endpoint, *, wallet_id: str, owner_ref: str | None = None, currency: str | None = None
    ) -> Read[WalletBalance]:
        """Return one wallet's balance; an answer about another wallet is refused."""

        def parse(body: bytes) -> WalletBalance:
            wallet = parse_balance(body)
            _refuse_unless(wallet.wallet_id == wallet_id, "another wallet")
            _refuse_unless(owner_ref in {None, wallet.owner_ref}, "another owner's wallet")
            _refuse_unless(currency in {None, wallet.currency}, "another currency")
            return wallet

        path = f"/v1/wallets/{quote(wallet_id, safe='')}/balance"
        return await self._read(endpoint, "GET", path, parse=parse)

    async def put_transfer(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        return await self._step(endpoint, order, action="put")

    async def commit(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        return await self._step(endpoint, order, action="commit")

    async def cancel(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        return await self._step(endpoint, order, action="cancel")

    async def get_transfer(self, endpoint: Endpoint, order: TransferOrder) -> StepResult:
        return await self._step(endpoint, order, action="get")

    async def feed(self, endpoint: Endpoint, *, after_seq: int, limit: int) -> Read[FeedPage]:
        """Return one page of changes; gaps and steps back are for the reader to find."""

        def parse(body: bytes) -> FeedPage:
            page = parse_feed_page(body)
            _refuse_unless(len(page.data) <= limit, "more entries than were asked for")
            return page

        path = f"/v1/transfers?after_seq={after_seq:d}&limit={limit:d}"
        return await self._read(endpoint, "GET", path, parse=parse)

    async def _step(self, endpoint: Endpoint, order: TransferOrder, *, action: Action) -> StepResult:
        path = f"/v1/transfers/{order.transfer_id}"
        try:
            judged = await self._call(
                endpoint,
                "GET" if action == "get" else "PUT",
                f"{path}/{action}" if action in {"commit", "cancel"} else path,
                body=order.to_json() if action == "put" else b"",
                response_bytes_max=STEP_BYTES_MAX,
            )
        except _NotMade as refused:
            return NotSent(code=refused.code, call=refused.call)
        return classify_step(judged.exchange, order=order, action=action, signature_fault=judged.signature_fault)

    async def _read(
        self, endpoint: Endpoint, method: str, path: str, *, parse: Callable[[bytes], T], body: bytes = b""
    ) -> Read[T]:
        try:
            judged = await self._call(endpoint, method, path, body=body, response_bytes_max=PAGE_BYTES_MAX)
        except _NotMade as refused:
            raise ReadFailed(refused.code, sent=False, call=refused.call) from refused
        return classify_read(judged.exchange, parse=parse, signature_fault=judged.signature_fault)

    async def _call(
        self, endpoint: Endpoint, method: str, path: str, *, body: bytes, response_bytes_max: int
    ) -> _Judged:
        """Sign, send, and judge the answer's signature; raises _NotMade."""
        now = self._transport.now()
        try:
            destination = self._transport.destination(endpoint.base_url, path)
            signed = sign_request(
                [_signing_key(key) for key in endpoint.keys],
                Request(
                    method=method,
                    scheme=destination.scheme,
                    authority=destination.host_header,
                    target=destination.target,
                    body=body,
                ),
                created=int(now),
            )
        except DestinationRefused as refused:
            raise _NotMade(refused.code, self._transport.record(now)) from refused
        except ValueError as unsignable:
            raise _NotMade("request_unsignable", self._transport.record(now)) from unsignable
        exchange = await self._transport.exchange(
            Outgoing(
                method=method,
                destination=destination,
                headers={**_HEADERS, **({"content-type": "application/json"} if body else {}), **signed},
                body=body,
                deadline_seconds=endpoint.timeout_seconds,
                response_bytes_max=response_bytes_max,
            )
        )
        return self._judge(endpoint, exchange, request_signature=signed["signature"])

    def _judge(self, endpoint: Endpoint, exchange: Exchange, *, request_signature: str) -> _Judged:
        """Say whether the answer can be believed. What is cut off has no digest to speak of."""
        if exchange.error is not None or exchange.truncated:
            return _Judged(exchange, None)
        verified: bool | None
        try:
            verify_response(
                status=exchange.status,
                body=exchange.body,
                headers=exchange.headers,
                request_signature=request_signature,
                keys=_verifying_keys(endpoint.keys),
                now=self._transport.now(),
            )
        except SignatureMissingError:
            demanded = endpoint.response_signatures == "required"
            verified, fault = (False, "response_signature_missing") if demanded else (None, None)
        except SignatureRefusedError as refused:
            verified, fault = False, f"response_{refused.code}"
        else:
            verified, fault = True, None
        return _Judged(replace(exchange, call=replace(exchange.call, signature_verified=verified)), fault)


def _refuse_unless(right: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not right:
        raise MalformedAnswerError(otherwise)


def _signing_key(key: WalletKey) -> SigningKey:
    """Raise ValueError for an Ed25519 key that is none."""
    if key.algorithm == "ed25519":
        return Ed25519SigningKey.of_base64(key.key_id, key.secret.get_secret_value())
    return HmacKey.of_text(key.key_id, key.secret.get_secret_value())


def _verifying_keys(keys: Sequence[WalletKey]) -> dict[str, VerifyingKey]:
    """Return the keys that answers may be signed with; an Ed25519 key without the wallet's public one verifies nothing."""
    found: dict[str, VerifyingKey] = {}
    for key in keys:
        if key.algorithm == "hmac-sha256":
            found[key.key_id] = HmacKey.of_text(key.key_id, key.secret.get_secret_value())
        elif key.response_public_key is not None:
            with contextlib.suppress(ValueError):
                found[key.key_id] = Ed25519VerifyingKey.of_base64(key.key_id, key.response_public_key)
    return found
