"""A fake wallet behind a real socket: it demands our signatures, signs its answers, and goes wrong as its script says."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote

import orjson

from shared.ewp.messages import (
    MalformedRequestError,
    TransferAnswer,
    TransferOrder,
    parse_balance_query,
    parse_order,
)
from shared.ewp.nonces import NonceMemory
from shared.ewp.signature_errors import SignatureRefusedError
from shared.ewp.signatures import Request, Verified, sign_response, verify_request
from shared.ewp.signing_keys import HmacKey
from support.egress_peer import Peer, run_peer
from support.fake_wallet import NOT_CARRIED_OUT, FakeWallet, Fault, wrong_echo
from support.model_wallet import ContentMismatch
from wallet_gateway.protocols.classification import Action

_STEP = re.compile(r"/v1/transfers/([^/?]+)(?:/(commit|cancel))?")
_BALANCE = re.compile(r"/v1/wallets/([^/?]+)/balance")


@dataclass(slots=True, kw_only=True)
class Answer:
    """A status and a body; ``signed`` False leaves the signature away."""

    status: int
    body: bytes
    signed: bool = True


@dataclass(slots=True, kw_only=True)
class WalletServer:
    """``keys`` are those it takes; it answers under the one that verified. ``base_path`` stands before every path."""

    wallet: FakeWallet
    keys: Sequence[HmacKey]
    base_path: str = ""
    signs: bool = True
    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    _nonces: NonceMemory = field(default_factory=NonceMemory)

    async def serve(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests on one connection until one is to be left without an answer."""
        while True:
            raw = await peer.read_request(reader)
            self.requests.append(raw)
            answer = self.answer(raw)
            if answer is None:
                return
            writer.write(answer)
            await writer.drain()

    def answer(self, raw: bytes) -> bytes | None:
        """Return the bytes that answer one request, None to close the connection instead."""
        head, _, body = raw.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ")
        fields = [(name, value) for name, _, value in (text.partition(": ") for text in lines)]
        host = next(value for name, value in fields if name == "host")
        request = Request(method=method, scheme="http", authority=host, target=target, body=body, headers=fields)
        request_signature = ", ".join(value for name, value in fields if name == "signature")
        keys = {key.key_id: key for key in self.keys}
        fault = self.wallet.next_fault()
        verified: Verified | None = None
        answer: Answer | None
        try:
            verified = verify_request(request, keys=keys, now=time.time(), nonces=self._nonces)
            answer = self._act(method, target.removeprefix(self.base_path), body, fault)
        except SignatureRefusedError as refused:
            answer = _problem(401, refused.code)
        except MalformedRequestError:
            answer = _problem(422, "malformed")
        if answer is None:
            return None
        extra: dict[str, str] = {}
        if verified is not None and self.signs and answer.signed:
            key = keys[verified.key_id]
            if fault == "bad_signature":
                key = HmacKey(key.key_id, b"another secret")
            extra = sign_response(
                key,
                status=answer.status,
                body=answer.body,
                request_signature=request_signature,
                created=int(time.time()),
            )
        return _response(answer, extra)

    def _act(self, method: str, path: str, body: bytes, fault: Fault | None) -> Answer | None:
        model = self.wallet.model
        plain, _, query = path.partition("?")
        if (step := _STEP.fullmatch(plain)) is not None:
            action: Action = "get" if method == "GET" else step[2] or "put"  # type: ignore[assignment] # one of the group
            order = parse_order(step[1], body) if action == "put" else None
            return self._step(action, step[1], order, fault)
        if fault in NOT_CARRIED_OUT:
            return _refused(fault)
        if plain == "/.well-known/external-wallet":
            return Answer(status=200, body=model.well_known().to_json(), signed=False)
        if plain == "/v1/balances:query":
            asked = parse_balance_query(body)
            page = model.query(
                owner_refs=asked.owner_refs, currency=asked.currency, cursor=asked.cursor, limit=asked.limit
            )
            return Answer(status=200, body=page.to_json())
        if plain == "/v1/transfers":
            asked_for = parse_qs(query)
            feed = model.feed(after_seq=int(asked_for["after_seq"][0]), limit=int(asked_for["limit"][0]))
            return Answer(status=200, body=feed.to_json())
        found = model.balance(unquote(match[1])) if (match := _BALANCE.fullmatch(plain)) else None
        return Answer(status=200, body=found.to_json()) if found else _problem(404, "not_found")

    def _step(
        self, action: Action, transfer_id: str, order: TransferOrder | None, fault: Fault | None
    ) -> Answer | None:
        self.wallet.calls.append((action, transfer_id))
        if fault == "late":
            self.wallet.keep_for_later(lambda: self.wallet.act(action, transfer_id, order))
        if fault in NOT_CARRIED_OUT:
            return _refused(fault)
        try:
            done = self.wallet.act(action, transfer_id, order)
        except ContentMismatch:
            return _problem(409, "idempotency_mismatch")
        return None if fault == "answer_lost" else _told(done, fault)


def _refused(fault: Fault | None) -> Answer | None:
    if fault == "error_before":
        return _problem(500, "internal_error")
    if fault == "unauthorised":
        return _problem(401, "signature_mismatch")
    return Answer(status=404, body=b"<html>no such page</html>", signed=False) if fault == "proxy_404" else None


def _told(done: TransferAnswer | None, fault: Fault | None) -> Answer:
    if fault == "error_after":
        return _problem(500, "internal_error")
    if fault == "html":
        return Answer(status=200, body=b"<html>maintenance</html>")
    if done is None:
        return _problem(404, "not_found")
    body = (wrong_echo(fault, done) if fault is not None else done).to_json()
    return Answer(status=200, body=body[: len(body) // 2] if fault == "malformed" else body)


def _problem(status: int, code: str) -> Answer:
    return Answer(status=status, body=orjson.dumps({"type": f"/problems/{code}", "status": status, "code": code}))


def _response(answer: Answer, extra: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} .", f"content-length: {len(answer.body)}"]
    lines += [f"{name}: {value}" for name, value in extra.items()]
    return "\r\n".join([*lines, "", ""]).encode() + answer.body


@asynccontextmanager
async def run_wallet(server: WalletServer) -> AsyncIterator[WalletServer]:
    """Serve on a free port of loopback until the block ends; ``url`` is the base URL."""
    async with run_peer(server.serve) as peer:
        server.url = f"http://127.0.0.1:{peer.port}{server.base_path}"
        yield server
