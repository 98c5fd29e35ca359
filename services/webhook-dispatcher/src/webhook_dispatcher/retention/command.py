"""The command ``retention``: shows and sets how long a realm's history is kept."""

import asyncio
from dataclasses import replace
from enum import StrEnum
from typing import Annotated

import typer

from shared import typeids
from shared.access import Realm
from shared.database import Database
from webhook_dispatcher.audit import repository as audit
from webhook_dispatcher.retention import repository
from webhook_dispatcher.retention.policy import Policy
from webhook_dispatcher.settings import Settings

_DEFAULT = "default"


class RealmEnvironment(StrEnum):
    """Environments of a realm."""

    LIVE = "live"
    TEST = "test"


def retention(
    tenant: Annotated[str, typer.Argument(help="The tenant's ten_… id.")],
    environment: Annotated[RealmEnvironment, typer.Option(help="Which of its environments.")] = RealmEnvironment.LIVE,
    days: Annotated[
        str | None,
        typer.Option(
            help="Keep events, deliveries and attempts for so many days; `default`: as long as the platform does."
        ),
    ] = None,
    redact_after_days: Annotated[
        str | None,
        typer.Option(
            help="Replace payloads and the bodies of attempts by a marker after so many days, once nothing of the event is"
            " outstanding; `default`: never before they are removed."
        ),
    ] = None,
) -> None:
    """Show for how long a tenant's history is kept, and change it where an option is given.

    What is removed or redacted is gone: there is no way back. It happens by and by, within the next hours. What is outstanding is
    never touched, however old it is.
    """
    settings = Settings.load()
    try:
        realm = Realm(tenant_id=typeids.decode("ten", tenant), environment=environment.value)
        policy = asyncio.run(_run(settings, realm, days=_number(days), redact_after_days=_number(redact_after_days)))
    except ValueError as exc:
        typer.echo(f"refused: {exc}", err=True)
        raise typer.Exit(code=1) from exc
    typer.echo(f"history: {_shown(policy.retention_days, 'as long as the platform keeps it')}")
    typer.echo(f"payloads: {_shown(policy.redact_after_days, 'as long as the history')}")


async def _run(settings: Settings, realm: Realm, *, days: object, redact_after_days: object) -> Policy:
    database = Database.open(settings.database_url, application_name="webhook-dispatcher-command", pool_size=1)
    try:
        async with database.transaction() as session:
            before = await repository.find_policy(session, realm)
            changes = {"retention_days": days, "redact_after_days": redact_after_days}
            wanted = replace(before, **{name: value for name, value in changes.items() if value is not Ellipsis})  # type: ignore[arg-type]  # whole numbers or None
            if wanted != before:
                wanted.check(platform_days=settings.retention_days)
                await repository.put_policy(session, wanted)
                named = {"retention_days": wanted.retention_days, "redact_after_days": wanted.redact_after_days}
                target = typeids.encode("ten", realm.tenant_id)
                await audit.record_own(session, realm, action="retention.changed", target=target, changes=named)
            return wanted
    finally:
        await database.aclose()


def _number(option: str | None) -> object:
    """Return what an option asks for: a number, None for the default, or an ellipsis for no change."""
    if option is None:
        return ...
    return None if option == _DEFAULT else int(option)


def _shown(days: int | None, default: str) -> str:
    return default if days is None else f"{days} days"
