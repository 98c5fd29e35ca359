"""SQL of workers' leases: table ``transfer_workers``."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def renew_worker(connection: AsyncConnection, *, worker_id: UUID, name: str, lease_seconds: float) -> None:
    """Say that this worker lives: what it has claimed is left to it for so long."""
    await connection.execute(
        text(
            "INSERT INTO transfer_workers (id, name, expires_at)"
            " VALUES (:id, :name, now() + make_interval(secs => :lease_seconds))"
            " ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at"
        ),
        {"id": worker_id, "name": name, "lease_seconds": lease_seconds},
    )


async def end_worker(connection: AsyncConnection, *, worker_id: UUID) -> None:
    """Say that this worker is gone: what it has claimed may be taken at once. Forget those of long ago that left nothing."""
    await connection.execute(text("UPDATE transfer_workers SET expires_at = now() WHERE id = :id"), {"id": worker_id})
    await connection.execute(
        text(
            "DELETE FROM transfer_workers w WHERE expires_at < now() - interval '1 hour'"
            " AND NOT EXISTS (SELECT FROM transfers t WHERE t.worker_id = w.id)"
        )
    )
