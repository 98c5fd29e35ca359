"""The worker process of a service: its resources, its engine, and an arq worker for jobs and cron, in one event loop.

Not the ``arq`` command line: that one ends when Valkey goes away, and cannot stop while it is away. Here the engine goes on
without Valkey, and the arq part is started again until it is back. SIGTERM stops in order and exits 0; used by every service.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import arq
import orjson
import structlog
import uvloop
from arq.connections import RedisSettings
from arq.cron import CronJob
from arq.worker import Function
from prometheus_client import CollectorRegistry, start_http_server
from redis.exceptions import RedisError

from shared.cycle_collector import collecting_rarely
from shared.heartbeat import beat
from shared.settings import ServiceSettings
from shared.telemetry import configure_logging, new_registry

log = structlog.get_logger()

STOP_DEADLINE_SECONDS = 8.0
"""Well within the time after which the stack (10 s) and the containers (20 s) kill a process."""
_ARQ_RETRY_SECONDS = 1.0
_ARQ_POLL_SECONDS = 1.0
_ARQ_CLOSE_SECONDS = 2.0

Opened = TypeVar("Opened")


class Engine(Protocol):
    """What a worker runs beside its jobs."""

    async def run(self) -> None:
        """Work until cancelled or stopped; returning early or raising ends the process, to be started afresh."""
        ...

    async def stop(self) -> None:
        """Take no more work, finish what is in flight, give up leases."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan(Generic[Opened]):
    """A service's worker: what it opens, the engine it runs, and its arq jobs."""

    service: str
    settings: ServiceSettings
    open_resources: Callable[[CollectorRegistry], AbstractAsyncContextManager[Opened]]
    make_engine: Callable[[Opened], Engine] | None = None
    functions: Sequence[Function] = ()
    cron_jobs: Sequence[CronJob] = ()
    context: Mapping[str, Any] = field(default_factory=dict)


def run_worker(plan: WorkerPlan[Opened]) -> None:
    """Run until SIGTERM or SIGINT; raises what ended the engine otherwise, so that the process ends non-zero."""
    configure_logging(
        service=f"{plan.service}-worker", level=plan.settings.log_level, log_format=plan.settings.log_format
    )
    uvloop.run(_run(plan))


async def _run(plan: WorkerPlan[Opened]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    registry = new_registry()
    async with plan.open_resources(registry) as resources, _metrics(plan.settings, registry):
        engine = plan.make_engine(resources) if plan.make_engine else None
        jobs = asyncio.create_task(_run_jobs(plan, resources), name="arq")
        tasks: list[asyncio.Task[Any]] = [jobs, asyncio.create_task(stopping.wait(), name="signal")]
        if engine is not None:
            tasks.append(asyncio.create_task(engine.run(), name="engine"))
        if plan.settings.heartbeat_file is not None:
            tasks.append(asyncio.create_task(beat(plan.settings.heartbeat_file), name="heartbeat"))
        with collecting_rarely():
            log.info("worker.started")
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        failed = next((task for task in done if task.get_name() != "signal"), None)
        log.info("worker.stopping")
        await _stop(engine, tasks)
        if failed is not None:
            await failed
            raise RuntimeError(f"the {failed.get_name()} part of the worker ended by itself")
    log.info("worker.stopped")


@asynccontextmanager
async def _metrics(settings: ServiceSettings, registry: CollectorRegistry) -> AsyncIterator[None]:
    if settings.metrics_port is None:
        yield
        return
    server, thread = start_http_server(settings.metrics_port, settings.metrics_host, registry)
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


async def _stop(engine: Engine | None, tasks: Sequence[asyncio.Task[Any]]) -> None:
    if engine is not None:
        try:
            async with asyncio.timeout(STOP_DEADLINE_SECONDS):
                await engine.stop()
        except TimeoutError:
            log.warning("worker.stop_deadline_passed", deadline_seconds=STOP_DEADLINE_SECONDS)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=_ARQ_CLOSE_SECONDS)


async def _run_jobs(plan: WorkerPlan[Opened], resources: Opened) -> None:
    """Keep an arq worker running; while Valkey is away, try again each second."""
    if not plan.functions and not plan.cron_jobs:
        await asyncio.Event().wait()
    while True:
        worker = arq.Worker(
            functions=plan.functions,
            cron_jobs=plan.cron_jobs,
            redis_settings=_redis_settings(plan.settings.queue_url),
            queue_name=f"causeway:jobs:{plan.service}",
            poll_delay=_ARQ_POLL_SECONDS,
            handle_signals=False,
            # Never arq's own form, pickle: whoever may write to Valkey (every publisher may) would run code of theirs here.
            job_serializer=serialize_job,
            job_deserializer=orjson.loads,
            ctx={**plan.context, "resources": resources},
        )
        try:
            await worker.async_run()
        except (RedisError, OSError, TimeoutError) as exc:
            log.warning("worker.jobs_paused", reason=type(exc).__name__)
        finally:
            await _close_quietly(worker)
        await asyncio.sleep(_ARQ_RETRY_SECONDS)


def serialize_job(job: dict[str, Any]) -> bytes:
    """Return a job or its result as JSON; what has no such form (an exception that ended it) as its ``repr``."""
    return orjson.dumps(job, default=repr)


async def _close_quietly(worker: arq.Worker) -> None:
    closing: Awaitable[None] = worker.close()
    try:
        async with asyncio.timeout(_ARQ_CLOSE_SECONDS):
            await closing
    except (RedisError, OSError, TimeoutError, asyncio.CancelledError) as exc:
        log.debug("worker.jobs_closed_hard", reason=type(exc).__name__)


def _redis_settings(queue_url: str) -> RedisSettings:
    settings = RedisSettings.from_dsn(queue_url)
    settings.conn_retries = 0
    return settings
