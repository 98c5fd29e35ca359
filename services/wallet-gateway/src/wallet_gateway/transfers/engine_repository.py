"""All SQL of carrying transfers out: claiming them, and writing their moves. Each is one statement, and so one transaction.

A claimed transfer carries a fence, and is written only while it still does: a worker that was taken for dead cannot write over
what its successor did. Its revision rises with each record, so that a record repeated after a lost connection counts once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.access import Realm
from wallet_gateway.transfers.crowd import Taken
from wallet_gateway.transfers.journey import Record
from wallet_gateway.transfers.plan import Failure, Shape, StepKind
from wallet_gateway.transfers.resolution import Attempt, Mode
from wallet_gateway.transfers.transfer import Account, Claimed, StepRow, Transfer

# Each part is driven by a small index of its own: what is due and free, what dead workers have left, and what stands as this
# worker's and is not carried out by it (a claim whose answer was lost; nobody else would ever take it). What other living
# workers carry out, which may be a thousand transfers, is never looked through.
# No more than each wallet's share and each tenant's: what is ``full`` is passed over, of others as many are taken as there is
# room for.
_SHARED = """
    ), ranked AS (
        SELECT id, source_wallet_id, tenant_id, row_number() OVER (PARTITION BY source_wallet_id ORDER BY due_at) AS place,
            row_number() OVER (PARTITION BY tenant_id ORDER BY due_at) AS tenant_place
        FROM candidates
    ), free AS MATERIALIZED (
        SELECT t.id FROM ranked
        JOIN transfers t ON t.id = ranked.id AND t.status = 'pending' AND t.worker_id IS NULL AND t.due_at <= now()
        LEFT JOIN unnest(CAST(:crowded AS uuid[]), CAST(:counts AS integer[])) AS crowd (wallet_id, here)
            ON crowd.wallet_id = ranked.source_wallet_id
        LEFT JOIN unnest(CAST(:crowded_tenants AS uuid[]), CAST(:tenant_counts AS integer[])) AS of_tenant (tenant_id, here)
            ON of_tenant.tenant_id = ranked.tenant_id
        WHERE ranked.place <= :share - coalesce(crowd.here, 0)
            AND ranked.tenant_place <= :tenant_share - coalesce(of_tenant.here, 0)
        FOR UPDATE OF t SKIP LOCKED
    """
_OF_OTHERS = """source_wallet_id <> ALL(CAST(:full AS uuid[])) AND target_wallet_id <> ALL(CAST(:full AS uuid[]))
            AND tenant_id <> ALL(CAST(:full_tenants AS uuid[]))"""
_ANY_DUE = f"""
    WITH candidates AS MATERIALIZED (
        SELECT id, source_wallet_id, tenant_id, due_at FROM transfers
        WHERE status = 'pending' AND worker_id IS NULL AND due_at <= now() AND {_OF_OTHERS}
        ORDER BY due_at LIMIT :limit
    {_SHARED}
    ), orphaned AS MATERIALIZED (
        SELECT t.id FROM transfer_workers w JOIN transfers t ON t.worker_id = w.id
        WHERE w.expires_at <= now() AND t.status = 'pending' AND t.worker_id IS NOT NULL
        LIMIT :limit
        FOR UPDATE OF t SKIP LOCKED
    ), left_lying AS MATERIALIZED (
        SELECT id FROM transfers
        WHERE worker_id = CAST(:worker_id AS uuid) AND status = 'pending'
            AND id NOT IN (SELECT unnest(CAST(:running AS uuid[])))
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ), due AS (
        SELECT id FROM orphaned UNION ALL SELECT id FROM left_lying UNION ALL SELECT id FROM free LIMIT :limit
    """  # noqa: S608 - the parts are this module's
_THESE_DUE = f"""
    WITH candidates AS MATERIALIZED (
        SELECT t.* FROM unnest(CAST(:ids AS uuid[])) AS wanted (id) CROSS JOIN LATERAL (
            SELECT id, source_wallet_id, tenant_id, due_at FROM transfers
            WHERE transfers.id = wanted.id AND status = 'pending' AND worker_id IS NULL AND due_at <= now() AND {_OF_OTHERS}
        ) t
        LIMIT :limit
    {_SHARED}
    ), due AS (
        SELECT id FROM free
    """  # noqa: S608 - as above
_CLAIM = """
    ), claimed AS (
        UPDATE transfers t SET worker_id = CAST(:worker_id AS uuid), fence = t.fence + 1 FROM due WHERE t.id = due.id
        RETURNING t.id, t.tenant_id, t.environment, t.owner_ref, t.source_wallet_id, t.source_is_home, t.source_account,
            t.target_wallet_id, t.target_is_home, t.target_account, t.amount, t.currency, t.reference, t.shape, t.created_at,
            t.fence, t.revision
    ), interrupted AS (
        UPDATE step_attempts a SET outcome = 'unknown', code = 'interrupted'
        FROM claimed c WHERE a.transfer_id = c.id AND a.outcome IS NULL
    )
    SELECT claimed.*, ARRAY(
            SELECT jsonb_build_object('number', s.number, 'kind', s.kind, 'mode', s.mode, 'wallet_id', s.wallet_id,
                'endpoint', s.endpoint, 'outcome', s.outcome, 'hold_ends', s.hold_ends, 'failure_code', s.failure_code,
                'failure_detail', s.failure_detail)
            FROM transfer_steps s WHERE s.transfer_id = claimed.id ORDER BY s.number
        ) AS steps, ARRAY(
            SELECT s.begun_at FROM transfer_steps s WHERE s.transfer_id = claimed.id ORDER BY s.number
        ) AS begun_times, ARRAY(
            SELECT s.not_after FROM transfer_steps s WHERE s.transfer_id = claimed.id ORDER BY s.number
        ) AS not_after_times, ARRAY(
            SELECT a.call || ' ' || coalesce(a.outcome, 'unknown') FROM step_attempts a
            WHERE a.transfer_id = claimed.id AND a.step = (
                SELECT max(number) FROM transfer_steps s WHERE s.transfer_id = claimed.id)
            ORDER BY a.number
        ) AS attempts
    FROM claimed
    """
_CLAIM_ANY = text(_ANY_DUE + _CLAIM)
_CLAIM_THESE = text(_THESE_DUE + _CLAIM)

_ADDRESS = ("id", "fence", "revision")
_RECORD = text(
    """
    WITH r AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(CAST(CAST(:records AS text) AS jsonb)) AS r (
            id uuid, fence bigint, revision bigint, shape text, status text, outcome_unknown boolean, due_at timestamptz,
            keeps boolean, failure_code text, failure_detail text,
            heard_step smallint, heard_attempt integer, outcome text, code text, wallet_state text, started_at timestamptz,
            duration_ms real, response_status smallint, request_digest text, response_digest text,
            signature_verified boolean, clock_skew_seconds real,
            ended_step smallint, step_outcome text, hold_ends boolean, step_failure_code text, step_failure_detail text,
            wallet_txn_id text, ended_at timestamptz, movement text, basis text,
            begun_step smallint, kind text, mode text, step_wallet_id uuid, endpoint jsonb, begun_at timestamptz,
            not_after timestamptz,
            intent_step smallint, intent_attempt integer, intent_call text, intended_at timestamptz,
            event_row_id uuid, event_id text, event_key text, event_body text)
    ), moved AS (
        UPDATE transfers t SET revision = t.revision + 1, status = r.status, outcome_unknown = r.outcome_unknown,
            shape = coalesce(r.shape, t.shape), due_at = CASE WHEN r.keeps THEN t.due_at ELSE r.due_at END,
            worker_id = CASE WHEN r.keeps THEN t.worker_id END,
            failure_code = r.failure_code, failure_detail = r.failure_detail, updated_at = now(),
            ended_at = CASE WHEN r.status NOT IN ('pending', 'manual_review') THEN now() END
        FROM r WHERE t.id = r.id AND t.fence = r.fence AND t.revision = r.revision AND t.status = 'pending'
        RETURNING t.id, t.tenant_id, t.environment, t.source_wallet_id, t.target_wallet_id, t.currency, t.amount
    ), heard AS (
        UPDATE step_attempts a SET outcome = r.outcome, code = r.code, wallet_state = r.wallet_state,
            started_at = r.started_at, duration_ms = r.duration_ms, response_status = r.response_status,
            request_digest = r.request_digest, response_digest = r.response_digest,
            signature_verified = r.signature_verified, clock_skew_seconds = r.clock_skew_seconds
        FROM r JOIN moved USING (id)
        WHERE a.transfer_id = r.id AND a.step = r.heard_step AND a.number = r.heard_attempt
    ), concluded AS (
        UPDATE transfer_steps s SET outcome = r.step_outcome, hold_ends = r.hold_ends, failure_code = r.step_failure_code,
            failure_detail = r.step_failure_detail, wallet_txn_id = r.wallet_txn_id, ended_at = r.ended_at
        FROM r JOIN moved USING (id)
        WHERE s.transfer_id = r.id AND s.number = r.ended_step
    ), begun AS (
        INSERT INTO transfer_steps (transfer_id, number, kind, mode, wallet_id, endpoint, begun_at, not_after)
        SELECT r.id, r.begun_step, r.kind, r.mode, r.step_wallet_id, r.endpoint, r.begun_at, r.not_after
        FROM r JOIN moved USING (id) WHERE r.begun_step IS NOT NULL
    ), intended AS (
        INSERT INTO step_attempts (transfer_id, step, number, call, fence, intended_at)
        SELECT r.id, r.intent_step, r.intent_attempt, r.intent_call, r.fence, r.intended_at
        FROM r JOIN moved USING (id) WHERE r.intent_step IS NOT NULL
    ), posted AS (
        INSERT INTO journal (transfer_id, movement, tenant_id, environment, wallet_id, clearing_wallet_id, currency, amount,
            basis, wallet_txn_id)
        SELECT r.id, r.movement, m.tenant_id, m.environment,
            CASE r.movement WHEN 'credit' THEN m.target_wallet_id ELSE m.source_wallet_id END, m.source_wallet_id,
            m.currency, m.amount, coalesce(r.basis, 'wallet'), r.wallet_txn_id
        FROM r JOIN moved m USING (id) WHERE r.movement IS NOT NULL
    ), told AS (
        INSERT INTO outbox (id, tenant_id, environment, event_id, ordering_key, body)
        SELECT r.event_row_id, m.tenant_id, m.environment, r.event_id, r.event_key, convert_to(r.event_body, 'UTF8')
        FROM r JOIN moved m USING (id) WHERE r.event_id IS NOT NULL
    )
    SELECT id FROM moved
    """
)
# A statement of its own: one that waited for the lock of its own first try does not see what that try has written.
_WRITTEN_BEFORE = text(
    """
    SELECT t.id FROM jsonb_to_recordset(CAST(CAST(:records AS text) AS jsonb)) AS r (id uuid, fence bigint, revision bigint)
    JOIN transfers t ON t.id = r.id AND t.fence = r.fence AND t.revision = r.revision + 1
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What is taken of the shares of wallets and tenants: new transfers are claimed only where there is room in both."""

    wallets: Taken
    tenants: Taken


_NOTHING: Final = Taken(most=2**31 - 1, counts={}, full=())
ANY_ROOM: Final = Room(wallets=_NOTHING, tenants=_NOTHING)


async def claim(
    connection: AsyncConnection,
    *,
    worker_id: UUID | None,
    limit: int,
    ids: Sequence[UUID] | None = None,
    running: Sequence[UUID] = (),
    room: Room = ANY_ROOM,
) -> list[Claimed]:
    """Claim transfers that are due and that no living worker has, longest due first; of ``ids`` alone if they are given.

    Without ``ids`` also those that the worker itself has, except ``running``: so no other claim of it may be under way.
    Without a worker they are claimed for this transaction, and free again after it. What was left is taken whatever the ``room``.
    """
    values: dict[str, Any] = {
        "worker_id": worker_id,
        "limit": limit,
        "share": room.wallets.most,
        "full": list(room.wallets.full),
        "crowded": list(room.wallets.counts),
        "counts": list(room.wallets.counts.values()),
        "tenant_share": room.tenants.most,
        "full_tenants": list(room.tenants.full),
        "crowded_tenants": list(room.tenants.counts),
        "tenant_counts": list(room.tenants.counts.values()),
    }
    if ids is None:
        found = await connection.execute(_CLAIM_ANY, {**values, "running": list(running)})
        return [_claimed(row) for row in found]
    return [_claimed(row) for row in await connection.execute(_CLAIM_THESE, {**values, "ids": list(ids)})]


async def record(connection: AsyncConnection, records: Iterable[Record]) -> frozenset[UUID]:
    """Write moves; returns the transfers whose move is written, by this call or by an earlier one. Others were fenced off."""
    moves = list(records)
    document = orjson.dumps(moves, option=orjson.OPT_UTC_Z).decode()
    written = frozenset((await connection.execute(_RECORD, {"records": document})).scalars())
    missing = [{name: move[name] for name in _ADDRESS} for move in moves if UUID(move["id"]) not in written]
    if not missing:
        return written
    before = await connection.execute(_WRITTEN_BEFORE, {"records": orjson.dumps(missing).decode()})
    return written | frozenset(before.scalars())


async def let_go(connection: AsyncConnection, *, transfer_id: UUID, fence: int, seconds: float) -> None:
    """Let any worker have a transfer in so many seconds; for one that could not be carried on, whatever the reason."""
    await connection.execute(
        text(
            "UPDATE transfers SET worker_id = NULL, due_at = now() + make_interval(secs => :seconds)"
            " WHERE id = :id AND fence = :fence AND status = 'pending'"
        ),
        {"id": transfer_id, "fence": fence, "seconds": seconds},
    )


def _claimed(row: Any) -> Claimed:
    transfer = Transfer(
        id=row.id,
        realm=Realm(tenant_id=row.tenant_id, environment=row.environment),
        owner_ref=row.owner_ref,
        source=Account(wallet_id=row.source_wallet_id, is_home=row.source_is_home, account=row.source_account),
        target=Account(wallet_id=row.target_wallet_id, is_home=row.target_is_home, account=row.target_account),
        amount=row.amount,
        currency=row.currency,
        reference=row.reference,
        shape=Shape(row.shape) if row.shape else None,
        created_at=row.created_at,
    )
    attempts = tuple(_attempt(item) for item in row.attempts)
    steps = [
        _step(fields, begun_at, not_after, attempts if number == len(row.steps) else ())
        for number, (fields, begun_at, not_after) in enumerate(
            zip(row.steps, row.begun_times, row.not_after_times, strict=True), start=1
        )
    ]
    return Claimed(transfer=transfer, fence=row.fence, revision=row.revision, steps=steps)


def _attempt(item: str) -> Attempt:
    call, outcome = item.split(" ")
    return Attempt(call, outcome)  # type: ignore[arg-type]  # the table holds these words alone


def _step(fields: Any, begun_at: Any, not_after: Any, attempts: tuple[Attempt, ...]) -> StepRow:
    failed = fields["failure_code"] is not None
    return StepRow(
        number=fields["number"],
        kind=StepKind(fields["kind"]),
        mode=Mode(fields["mode"]),
        wallet_id=UUID(fields["wallet_id"]),
        endpoint=fields["endpoint"],
        begun_at=begun_at,
        not_after=not_after,
        outcome=fields["outcome"],
        hold_ends=fields["hold_ends"],
        failure=Failure(code=fields["failure_code"], detail=fields["failure_detail"]) if failed else None,
        attempts=attempts,
    )
