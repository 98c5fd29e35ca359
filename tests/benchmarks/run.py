"""``make bench``: prints a table and writes JSON under ``var/bench/``. ``--help`` names the benchmarks.

Latency counts from the scheduled time, a run is void unless the ledger balances, figures are medians of at least three runs.
"""

import argparse
import asyncio
import gc
import json
import os
import platform
import statistics
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import balances, delivery, idle, transfers, verification
from benchmarks.stack import Stack, running_stack

BENCHMARKS = {
    "verify_in_process": "a key whose answer is remembered by a sibling",
    "verify_http": "POST /v1/verify of keys that are used again and again",
    "verify_cold": "the same of keys that were never seen",
    "verify_in_process_million": "the three above, with a million keys in the table; not with --quick",
    "verify_http_million": "",
    "verify_cold_million": "",
    "idle": "processor and queue commands while nothing is wanted",
    "latency": "from publishing to the first byte, over 1 000 webhooks",
    "throughput": "events from the stream to 100 webhooks, as fast as they go",
    "publish_single": "POST /v1/events with one event",
    "publish_batch": "POST /v1/events with a hundred",
    "hanging": "latency over 100 webhooks, without (baseline_100) and with one that hangs",
    "million": "both, before and while a dead webhook has 1 000 000 pending (--quick: 100 000)",
    "balances": "reads of balances: the gateway's share (balances_own); and beside another wallet that answers or hangs",
    "transfers": "transfers between two wallets: as fast as they go, 150 a second, and beside a third that answers or hangs",
}
VERIFY = "verify"
"""Stands for all whose name begins so."""
RUNS = 3
_WIDTH = 110
WORKERS = 2
REACH = {
    "idle.worker_core_percent": "< 2",
    "idle.queue_commands_per_second": "< 50",
    "throughput.deliveries_per_second": "≥ 3000 (issue: ≥ 2000)",
    "throughput.worker_mib": "< 200",
    "latency.p50_ms": "≤ 8",
    "latency.p99_ms": "≤ 40",
    "hanging.p99_ms": "≤ 1.2 x of baseline_100",
    "publish_single.events_per_second": "≥ 800",
    "publish_batch.events_per_second": "≥ 8000",
    "million.deliveries_per_second": "≥ 0.9 x of before_million",
    "million.p99_ms": "≤ 1.1 x of before_million",
    "million.worker_mib": "< 200, as before_million",
    "verify_in_process.p50_us": "≤ 10",
    "verify_http.per_second": "≥ 2000",
    "verify_http.p50_ms": "≤ 5",
    "verify_http.p99_ms": "≤ 12",
    "verify_http.writes_each": "0 but the bulk updates",
    "verify_http_million.per_second": "≥ 0.9 x of verify_http",
    "verify_http_million.p99_ms": "≤ 1.1 x of verify_http",
    "verify_cold_million.p50_ms": "≤ 1.1 x of verify_cold",
}

REACH |= {
    "balances_own.p50_ms": "≤ 4 (beyond: 2)",
    "balances.p99_ms": "≤ 15 (beyond: 8)",
    "balances_hung.p99_ms": "≤ 1.1 x of balances",
}

REACH |= {
    "transfers.transfers_per_second": "≥ 150 (beyond: 400)",
    "transfers_hung.p99_ms": "≤ 1.1 x of transfers_calm",
}
_CALM = 40
"""Transfers a second that this machine carries without a queue: what one hung wallet costs the others shows there."""

Measure = Callable[[], Awaitable[dict[str, float]]]


async def main(names: frozenset[str], *, quick: bool) -> None:
    """Run the named benchmarks and report."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    results: dict[str, list[dict[str, float]]] = {}
    if any(name.startswith(VERIFY) for name in names):
        async with verification.running_bench() as bench:
            await _run(console, results, await _verifications(bench, names, quick=quick))
            if not quick and any(name.startswith(VERIFY) and name.endswith("_million") for name in names):
                await bench.fill_up(verification.MILLION)
                await _run(console, results, await _verifications(bench, names, suffix="_million", quick=quick))
    if not all(name.startswith(VERIFY) for name in names):
        async with running_stack(workers=WORKERS) as stack:
            await _run(console, results, await _measures(stack, names, quick=quick))
            if "balances" in names:
                await _run_balances(console, results, stack, quick=quick)
            if "transfers" in names:
                await _run_transfers(console, results, stack, quick=quick)
    _print(console, results)
    console.print(f"written: {_write(results)}")


def parse_names(arguments: Sequence[str]) -> tuple[frozenset[str], bool]:
    """Return the benchmarks that a command line asks for, all if it names none, and whether they are to be quick."""
    parser = argparse.ArgumentParser(
        description="Measure, with the real processes on this machine. Nothing else should run on it meanwhile.",
        epilog="\n".join(
            ["benchmarks, in their order:", *(f"  {name:26}{about}" for name, about in BENCHMARKS.items())]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"which ones, `{VERIFY}` for all of verify_*; default: all"
    )
    parser.add_argument("--quick", action="store_true", help="shorter runs: enough to compare, not to publish")
    parsed = parser.parse_args(arguments)
    if unknown := [name for name in parsed.names if name not in {VERIFY, *BENCHMARKS}]:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are: {VERIFY}, {', '.join(BENCHMARKS)}")
    wanted = set(parsed.names or BENCHMARKS)
    if VERIFY in wanted:
        wanted |= {name for name in BENCHMARKS if name.startswith(VERIFY)}
    return frozenset(wanted & BENCHMARKS.keys()), parsed.quick


async def _run(console: Console, results: dict[str, list[dict[str, float]]], measures: dict[str, Measure]) -> None:
    for name, measure in measures.items():
        for run in range(RUNS):
            # What is measured in this process itself is measured as it is.
            with nullcontext() if name.startswith(VERIFY) else _not_collecting():
                figures = await measure()
            results.setdefault(name, []).append(figures)
            shown = "  ".join(f"{key}={value:{_digits(value)}}" for key, value in figures.items())
            console.print(f"{name} run {run + 1}: {shown}")


@contextmanager
def _not_collecting() -> Iterator[None]:
    """Keep this process' collector of cycles still: what it holds up would count as the services' latency."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def _verifications(
    bench: verification.Bench, names: frozenset[str], *, quick: bool, suffix: str = ""
) -> dict[str, Measure]:
    keys = await bench.add_keys(verification.WARM_KEYS)
    seconds = 5 if quick else 15
    measures: dict[str, Measure] = {
        "verify_in_process": lambda: verification.in_process(bench),
        "verify_http": lambda: verification.warm(bench, keys, seconds=seconds),
        "verify_cold": lambda: verification.cold(bench),
    }
    return {name + suffix: measure for name, measure in measures.items() if name + suffix in names}


async def _measures(stack: Stack, names: frozenset[str], *, quick: bool) -> dict[str, Measure]:
    """Return what is wanted of the dispatcher. Whatever leaves something behind, such as timeouts to come, stands last."""
    hundred = await delivery.make_lanes(stack, 100, name="hundred")
    thousand = await delivery.make_lanes(stack, 1_000, name="thousand") if "latency" in names else []
    events, seconds = (5_000, 5) if quick else (20_000, 15)
    measures: dict[str, Measure] = {
        "idle": lambda: idle.idle(stack, seconds=10 if quick else 20),
        "latency": lambda: delivery.latency(stack, thousand, per_second=200, seconds=seconds),
        "throughput": lambda: delivery.throughput(stack, hundred, events=events),
        "publish_single": lambda: delivery.publishing(stack, requests=events // 5, batch=1),
        "publish_batch": lambda: delivery.publishing(stack, requests=events // 50, batch=100),
    }
    measures = {name: measure for name, measure in measures.items() if name in names}
    if "hanging" in names:
        measures["baseline_100"] = lambda: delivery.latency(stack, hundred, per_second=200, seconds=seconds)
        measures["hanging"] = lambda: delivery.hanging(stack, hundred, per_second=200, seconds=seconds)
    if "million" in names:
        measures |= _beside_a_million(
            stack, hundred, events=events, seconds=seconds, pending=100_000 if quick else 1_000_000
        )
    return measures


def _beside_a_million(
    stack: Stack, lanes: Sequence[delivery.Lane], *, events: int, seconds: int, pending: int
) -> dict[str, Measure]:
    """Return the measures of one webhook's pending deliveries: the others' figures without them, and with them."""
    dead: list[delivery.Lane] = []

    async def with_them() -> dict[str, float]:
        if not dead:
            dead.append(await delivery.fill_up(stack, pending=pending))
        return await delivery.beside_pending(stack, lanes, dead[0], events=events, per_second=200, seconds=seconds)

    async def without() -> dict[str, float]:
        return await delivery.beside_pending(stack, lanes, lanes[0], events=events, per_second=200, seconds=seconds)

    return {"before_million": without, "million": with_them}


async def _run_balances(
    console: Console, results: dict[str, list[dict[str, float]]], stack: Stack, *, quick: bool
) -> None:
    seconds = 5 if quick else 15
    async with balances.bench_wallets(stack) as wallets:
        measures: dict[str, Measure] = {
            "balances": lambda: balances.reads(wallets, per_second=100, seconds=seconds),
            "balances_hung": lambda: balances.reads(wallets, per_second=100, seconds=seconds, with_hung=True),
            "balances_own": lambda: balances.own_share(wallets, per_second=100, seconds=seconds),
        }
        await _run(console, results, measures)


async def _run_transfers(
    console: Console, results: dict[str, list[dict[str, float]]], stack: Stack, *, quick: bool
) -> None:
    count = 1_000 if quick else 4_000
    async with transfers.bench_pair(stack) as pair:
        measures: dict[str, Measure] = {
            "transfers": lambda: transfers.transfers(stack, pair, per_second=None, count=count),
            "transfers_150": lambda: transfers.transfers(stack, pair, per_second=150, count=count),
        }
        await _run(console, results, measures)

        def calm(beside: transfers.Beside) -> Measure:
            return lambda: transfers.transfers(stack, pair, per_second=_CALM, count=count // 4, beside=beside)

        third = await transfers.third_wallet(stack, pair, per_second=_CALM // 5)
        await _run(console, results, {"transfers_calm": calm(third)})
        async with transfers.hung_wallet(stack, pair, per_second=_CALM // 5) as hung:
            await _run(console, results, {"transfers_hung": calm(hung)})


def _print(console: Console, results: dict[str, list[dict[str, float]]]) -> None:
    table = Table(title=f"medians of {RUNS} runs, {WORKERS} workers, {delivery.PAYLOAD_BYTES} B events")
    for column in ("figure", "median", "min", "max", "reach"):
        table.add_column(column, justify="left" if column in {"figure", "reach"} else "right")
    for name, runs in results.items():
        for key in runs[0]:
            values = [run[key] for run in runs]
            row = [f"{value:{_digits(value)}}" for value in (statistics.median(values), min(values), max(values))]
            table.add_row(f"{name}.{key}", *row, REACH.get(f"{name}.{key}", ""))
    console.print(table)


def _digits(value: float) -> str:
    return ".1f" if abs(value) >= 1 or value == 0 else ".2g"


def _write(results: dict[str, list[dict[str, float]]]) -> Path:
    folder = Path("var/bench")
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    report: dict[str, Any] = {
        "at": now.isoformat(),
        "machine": {"cores": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("fastapi", "sqlalchemy", "asyncpg", "aiohttp", "uvloop")},
        "payload_bytes": delivery.PAYLOAD_BYTES,
        "workers": WORKERS,
        "results": results,
    }
    path = folder / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    return path


if __name__ == "__main__":
    chosen, be_quick = parse_names(sys.argv[1:])
    asyncio.run(main(chosen, quick=be_quick))
