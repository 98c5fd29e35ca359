# ruff: noqa: INP001 - a file that is run, not a package
"""A webhook destination for trials: verifies every request with the public ``standardwebhooks`` package and counts.

``POST /`` answers 204 for a good signature and 400 for a bad one; ``GET /counts`` tells what came. Knows nothing of Causeway.
"""

import json
import os
import signal
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

_PORT = 8010
_BODY_BYTES_MAX = 2 * 1024 * 1024
_IDLE_SECONDS = 60


@dataclass
class Received:
    """What came, under one lock: requests run in threads."""

    verified: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def counts(self) -> dict[str, int]:
        """Distinct verified events, repeated deliveries of them, and requests whose signature was wrong."""
        with self.lock:
            distinct = len(self.verified)
            return {"verified": distinct, "repeated": self.verified.total() - distinct, "refused": self.refused}


class ReceiverServer(ThreadingHTTPServer):
    """Carries what the handlers share."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, secret: str) -> None:
        super().__init__(("0.0.0.0", _PORT), Handler)  # noqa: S104 - inside a container, published on loopback alone
        self.webhook = Webhook(secret)
        self.received = Received()


class Handler(BaseHTTPRequestHandler):
    """One connection; keep-alive, as a real destination would."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    server: ReceiverServer

    def do_POST(self) -> None:
        """Verify one delivery."""
        length = int(self.headers.get("content-length", "0"))
        if not 0 <= length <= _BODY_BYTES_MAX:
            self.close_connection = True
            self._answer(413)
            return
        body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            self.server.webhook.verify(body, headers)
        except (WebhookVerificationError, ValueError) as exc:
            with self.server.received.lock:
                self.server.received.refused += 1
            sys.stdout.write(f"refused {headers.get('webhook-id')}: {exc}\n")
            self._answer(400)
            return
        with self.server.received.lock:
            self.server.received.verified[headers["webhook-id"]] += 1
        self._answer(204)

    def do_GET(self) -> None:
        """Tell the counts."""
        if self.path != "/counts":
            self._answer(404)
            return
        self._answer(200, json.dumps(self.server.received.counts()).encode())

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        if status != 204:  # noqa: PLR2004 - a 204 carries no length
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Keep quiet: a line for each delivery is noise; refusals are written above."""


def main() -> None:
    """Serve until SIGTERM."""
    server = ReceiverServer(os.environ["CAUSEWAY_TRY_SECRET"])
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()


if __name__ == "__main__":
    main()
