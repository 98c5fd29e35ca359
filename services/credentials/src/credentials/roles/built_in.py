"""The built-in roles as the list shows them. Their ids are the smallest there are, so that they come after all own ones."""

from uuid import UUID

from shared.scopes import BUILT_IN_ROLES

DESCRIPTIONS = {
    "owner": "Everything in the tenant.",
    "developer": "Builds an integration: webhooks, events and deliveries; reads keys, wallets and transfers.",
    "support": "Helps integrators: reads webhooks, events and deliveries, and sends deliveries again.",
    "auditor": "Reads everything and changes nothing.",
    "integration": "Runs an integration: publishes events, reads, starts transfers. The security token holds it.",
}
IDS: dict[UUID, str] = {UUID(int=number): name for number, name in enumerate(BUILT_IN_ROLES, start=1)}


def is_built_in_name(name: str) -> bool:
    """Tell whether a built-in role has this name, in whatever case: `Owner` would be taken for `owner`."""
    return name.casefold() in BUILT_IN_ROLES
