"""In containers, systems that publish have a user of the queue server that can publish, and nothing else."""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from shared.access import Realm
from shared.publisher import PublishedEvent
from shared.publisher.stream import STREAM, StreamPublisher
from shared.typeids import new_id

_SCRIPT = Path(__file__).parents[3] / "deploy/make-secrets.sh"
_KEYS = ("platform_key", "service_key", "publisher_key")


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """Return the folder of secrets that the containers' script made."""
    for name in _KEYS:  # the image of credentials makes these
        (tmp_path / name).write_text("made already")
    subprocess.run([_SCRIPT, tmp_path], check=True, capture_output=True)  # noqa: S603 - the project's own script
    return tmp_path


@pytest.fixture
async def publisher_url(secrets: Path, queue_url: str) -> AsyncIterator[str]:
    """Return the publishers' URL, of a user as the script made it, on this queue server."""
    (rule,) = [line for line in (secrets / "valkey_conf").read_text().splitlines() if line.startswith("user ")]
    made = (secrets / "publisher_queue_url").read_text().strip()
    async with Redis.from_url(queue_url) as server:
        await server.execute_command("ACL", "SETUSER", *rule.split()[1:])
        yield made.replace("valkey:6379/0", queue_url.rpartition("@")[2].rpartition("//")[2])
        await server.execute_command("ACL", "DELUSER", "publisher")
        await server.delete(STREAM)


async def test_it_publishes(publisher_url: str, queue_url: str) -> None:
    """With the publisher library, by the URL alone."""
    realm = Realm(tenant_id=new_id(), environment="live")
    async with StreamPublisher.open(publisher_url) as publisher:
        await publisher.publish(PublishedEvent(realm=realm, type="payment.succeeded", data={"amount": "1.00"}))
    async with Redis.from_url(queue_url) as server:
        assert await server.xlen(STREAM) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("XRANGE", STREAM, "-", "+"),
        ("XTRIM", STREAM, "MAXLEN", "0"),
        ("DEL", STREAM),
        ("XADD", f"{STREAM}:rejected", "*", "event", "{}"),
        ("SET", "arq:job:x", "{}"),
        ("ZADD", "causeway:jobs:webhook-dispatcher", "1", "x"),
        ("PUBLISH", "anything", "x"),
        ("CONFIG", "SET", "maxmemory", "1"),
        ("ACL", "LIST"),
        ("EVAL", "return 1", "0"),
        ("KEYS", "*"),
    ],
    ids=lambda command: command[0],
)
async def test_it_does_nothing_else(publisher_url: str, command: tuple[str, ...]) -> None:
    """Neither read nor empty the queue, nor name jobs to workers, nor wake them."""
    async with Redis.from_url(publisher_url) as publisher:
        with pytest.raises(NoPermissionError):
            await publisher.execute_command(*command)
