"""The demo's destination: a small server, as an integrator would write one, that verifies every signature it gets.

It verifies with the `standardwebhooks` package and not with our own code, so that it is an independent judge.
Run as `python -m embedded.demo_receiver`, with DEMO_RECEIVER_PORT and DEMO_RECEIVER_SECRET in its environment.
`POST /webhooks` takes deliveries; `GET /received?after=N` tells what came, oldest first.
"""

import os
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from embedded.ports import LOOPBACK

BODY_BYTES_MAX = 2 * 1024 * 1024
RECEIPTS_REMEMBERED = 1_000


@dataclass(frozen=True)
class Receipt:
    """What is known of one request to the receiver; `number` counts up from 1."""

    number: int
    received_at: float
    verified: bool
    reason: str
    webhook_id: str
    event_type: str
    subject: str


class Receiver:
    """Verifies deliveries under one secret and remembers the last RECEIPTS_REMEMBERED of them."""

    def __init__(self, secret: str) -> None:
        self._verifier = Webhook(secret)
        self._receipts: deque[Receipt] = deque(maxlen=RECEIPTS_REMEMBERED)
        self._count = 0

    def take(self, body: bytes, headers: Mapping[str, str]) -> Receipt:
        """Verify one delivery and remember it."""
        self._count += 1
        document, reason = self._verify(body, {name.lower(): value for name, value in headers.items()})
        receipt = Receipt(
            number=self._count,
            received_at=time.time(),
            verified=document is not None,
            reason=reason,
            webhook_id=headers.get("webhook-id", ""),
            event_type=str((document or {}).get("type", "")),
            subject=str((document or {}).get("subject", "")),
        )
        self._receipts.append(receipt)
        return receipt

    def receipts_after(self, number: int) -> list[Receipt]:
        return [receipt for receipt in self._receipts if receipt.number > number]

    def _verify(self, body: bytes, headers: dict[str, str]) -> tuple[dict[str, Any] | None, str]:
        try:
            document = self._verifier.verify(body, headers)
        except WebhookVerificationError as error:
            return None, str(error)
        except ValueError:
            return None, "the body is no JSON"
        if not isinstance(document, dict) or document.get("id") != headers.get("webhook-id"):
            return None, "the body's id is not the webhook-id that was signed"
        return document, ""


def create_app(secret: str) -> web.Application:
    receiver = Receiver(secret)

    async def take(request: web.Request) -> web.Response:
        receipt = receiver.take(await request.read(), request.headers)
        return web.Response(status=204) if receipt.verified else web.Response(status=400, text=receipt.reason)

    async def received(request: web.Request) -> web.Response:
        try:
            after = int(request.query.get("after", "0"))
        except ValueError:
            return web.Response(status=400, text="after is a number")
        receipts = [asdict(receipt) for receipt in receiver.receipts_after(after)]
        return web.json_response({"run": str(os.getpid()), "data": receipts})

    async def ready(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ready"})

    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.add_routes([web.post("/webhooks", take), web.get("/received", received), web.get("/readyz", ready)])
    return app


def main() -> None:
    port = int(os.environ["DEMO_RECEIVER_PORT"])
    app = create_app(os.environ["DEMO_RECEIVER_SECRET"])
    web.run_app(app, host=LOOPBACK, port=port, print=None, access_log=None)


if __name__ == "__main__":
    main()
