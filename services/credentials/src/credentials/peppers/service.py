"""Rotating the pepper: how far it has come, and whether an old one can go."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy.ext.asyncio import AsyncSession

from credentials.audit.service import Actor, Target, record
from credentials.peppers import repository
from credentials.peppers.repository import LiveVersion, Standing
from credentials.resources import Resources
from credentials.revocations import repository as revocations
from credentials.security_tokens import maintenance as security_tokens
from shared import typeids

_BATCH = 100
_NAMED_MAX = 10
_ACTOR = Actor(kind="command", id="rotate-pepper")
_PREFIXES = {"api_key": "key", "security_token": "stk"}


class RetirementRefusedError(Exception):
    """The pepper is still needed; the message says by what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How many texts stand under each pepper, known to the configuration or not. ``moved`` tokens came to the newest one."""

    current_id: str
    configured_ids: Sequence[str]
    standings: Sequence[Standing]
    moved: int


async def progress(resources: Resources) -> Progress:
    """Move what can be moved without its holder, and tell where everything stands."""
    moved = await security_tokens.rehash(resources.database, issuer=resources.token_issuer)
    async with resources.database.transaction() as session:
        found = {standing.pepper_id: standing for standing in await repository.standings(session)}
    for pepper_id in resources.peppers.ids:
        found.setdefault(pepper_id, Standing(pepper_id=pepper_id, live=0, all=0))
    return Progress(
        current_id=resources.peppers.current_id,
        configured_ids=resources.peppers.ids,
        standings=[found[pepper_id] for pepper_id in sorted(found)],
        moved=moved.count,
    )


async def retire(resources: Resources, *, pepper_id: str, force: bool) -> int:
    """Make sure that nothing valid stands under a pepper; return how many texts were ended, which takes ``force``.

    Raises RetirementRefusedError.
    """
    if pepper_id == resources.peppers.current_id:
        raise RetirementRefusedError(f"{pepper_id} hashes every new key: put a newer pepper before it first")
    if not force:
        async with resources.database.transaction() as session:
            needing = await repository.live_versions(session, pepper_id=pepper_id, limit=_NAMED_MAX + 1)
        if needing:
            named = ", ".join(_name(version) for version in needing[:_NAMED_MAX])
            more = " and more" if len(needing) > _NAMED_MAX else ""
            raise RetirementRefusedError(f"valid keys stand under {pepper_id}: {named}{more}")
        return 0
    ended = 0
    while True:
        async with resources.database.transaction() as session:
            versions = await repository.live_versions(session, pepper_id=pepper_id, limit=_BATCH)
        # Each in a transaction of its own: the feed's counter is the last thing that anybody waits for, and whoever held it
        # while it waits for the next tenant's chain would cross those who hold that chain and want the counter.
        for version in versions:
            ended += await resources.database.repeat(partial(_end, version=version))
        if not versions:
            return ended


async def _end(session: AsyncSession, *, version: LiveVersion) -> bool:
    if not await repository.end_version(session, version):
        return False
    target = Target(kind=version.kind, id=_name(version), tenant_id=version.tenant_id, environment=version.environment)
    action = f"{version.kind}.version_ended"
    changes = {"because": "its pepper was retired", "ended": [version.number]}
    await record(session, action=action, actor=_ACTOR, target=target, changes=changes)
    await revocations.append(session, target_kind="credential", target_id=version.id, reason=action)
    return True


def _name(version: LiveVersion) -> str:
    return typeids.encode(_PREFIXES[version.kind], version.id)
