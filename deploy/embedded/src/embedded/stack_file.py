"""`stack.json`: where everything of a running stack is, for tests, tools and people; and the files that curl reads.

Their form is a contract (the local stack, in the API's documentation). They exist only while the stack runs.
"""

from pathlib import Path
from typing import Any

from embedded.private_file import write_json, write_private

STACK_FILE_NAME = "stack.json"
STREAM = "causeway:events"


class StackFile:
    """Nothing is on disk until `publish()`; `update_processes()` before that does nothing."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / STACK_FILE_NAME
        self._document: dict[str, Any] | None = None

    def publish(
        self,
        *,
        service_urls: dict[str, str],
        database_urls: dict[str, str],
        queue_url: str,
        tenant_id: str,
        keys: dict[str, str],
        wallet_control_token: str,
        pids: dict[str, int],
    ) -> None:
        self._document = {
            "ready": True,
            "services": {name: {"url": url} for name, url in service_urls.items()},
            "databases": database_urls,
            "queue": {"url": queue_url, "stream": STREAM},
            "tenant_id": tenant_id,
            "keys": keys,
            # Bearer of the control API of both wallets: their systems, keys, wallets and faults.
            "wallet_control": {"token": wallet_control_token},
        }
        write_private(self.curl_path("wallet-control"), f'header = "Authorization: Bearer {wallet_control_token}"\n')
        for name, key in keys.items():
            # `curl -K` reads a key from here, so that it appears in no argument list and no shell history.
            headers = [f"Authorization: Bearer {key}"] + ([f"X-Tenant-Id: {tenant_id}"] if name == "publisher" else [])
            write_private(self.curl_path(name), "".join(f'header = "{header}"\n' for header in headers))
        self.update_processes(pids)

    def update_processes(self, pids: dict[str, int]) -> None:
        if self._document is not None:
            write_json(self.path, self._document | {"processes": {name: {"pid": pid} for name, pid in pids.items()}})

    def curl_path(self, key_name: str) -> Path:
        return self.path.with_name(f"{key_name}.curl")

    def remove(self) -> None:
        self._document = None
        for path in (
            self.path,
            *(self.curl_path(name) for name in ("platform", "owner", "publisher", "wallet-control")),
        ):
            path.unlink(missing_ok=True)
