"""Access tokens in the whole stack, each part a process of its own: got at credentials, used at a sibling, ended everywhere."""

import asyncio

import httpx2

from support.access_tokens import Issuer, forgeries
from support.oauth_client import OAuthClient, bearer
from support.served_time import served_clock
from support.stack import StackProcess, running_stack

EVENT = {"type": "withdrawal.rejected", "subject": "a1b2c3d4", "data": {}}
LIMIT_SECONDS = 1.0


async def _new_client(stack: StackProcess, http: httpx2.AsyncClient) -> OAuthClient:
    """Return the OAuth client behind a new key."""
    wanted = {"name": "publisher", "kind": "secret", "environment": "live", "scopes": ["events:publish", "events:read"]}
    async with stack.client("credentials", "owner") as owner:
        made = (await owner.post("/v1/api-keys", json=wanted)).json()
    return OAuthClient.of(http, made)


async def test_a_token_publishes_and_reads_until_it_is_revoked() -> None:
    """A sibling takes it without the pepper, refuses it for more than its scope, and denies it within a second of its end."""
    async with (
        running_stack() as stack,
        stack.client("credentials") as http,
        stack.client("webhook-dispatcher") as sibling,
    ):
        client = await _new_client(stack, http)
        narrow, wide = await client.token(scope="events:read"), await client.token()
        # By now the sibling has followed the feed for longer than clocks may differ: it judges the next ones by itself.
        assert (await sibling.get("/v1/events", headers=bearer(narrow))).status_code == 200
        refused = await sibling.post("/v1/events", json=EVENT, headers=bearer(narrow))
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
        assert (await sibling.post("/v1/events", json=EVENT, headers=bearer(wide))).status_code == 202
        for name, text in forgeries(wide, signing_key=Issuer().key).items():
            answer = await sibling.get("/v1/events", headers=bearer(text))
            assert answer.status_code in {401, 429}, name
        assert (await client.revoke(wide)).status_code == 200
        async with served_clock() as clock, asyncio.timeout(30):
            while (await sibling.get("/v1/events", headers=bearer(wide))).status_code == 200:
                pass
            assert clock.now() < LIMIT_SECONDS
        assert (await sibling.get("/v1/events", headers=bearer(narrow))).status_code == 200
