"""How often faults have had their effect where no answer tells it: a run in which one never struck proves nothing of it."""

import asyncpg

from chaos.money_wallets import HOME
from support.stack import StackProcess

_AT_THE_GATEWAY = {
    "calls_without_an_address": "SELECT count(*) FROM step_attempts WHERE code = 'name_not_resolved'",
    "refused_for_want_of_money": "SELECT count(*) FROM transfers WHERE failure_code = 'insufficient_funds'",
}
_ENDED_AT_HOME = (
    "SELECT count(*) FROM transfers t JOIN systems s ON s.id = t.system_id"
    " WHERE s.name = $1 AND state = 'cancelled' AND error_code = 'expired'"
)


async def count_struck(stack: StackProcess) -> dict[str, int]:
    """Count them, by name."""
    databases = stack.info()["databases"]
    connection = await asyncpg.connect(databases["wallet-gateway"])
    try:
        struck = {name: await connection.fetchval(statement) for name, statement in _AT_THE_GATEWAY.items()}
    finally:
        await connection.close()
    connection = await asyncpg.connect(databases[HOME.service])
    try:
        struck["holds_ended_at_home"] = await connection.fetchval(_ENDED_AT_HOME, HOME.name)
    finally:
        await connection.close()
    return struck
