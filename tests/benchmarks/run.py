"""``make bench``: prints a table and writes JSON under ``var/bench/``.

Latency counts from the scheduled time, a run is void unless the ledger balances, figures are medians of at least three runs.

``python tests/benchmarks/run.py [--quick] [name …]`` with names of ``throughput latency hanging publish_single publish_batch
million`` and ``verify_in_process verify_http verify_cold verify_http_million verify_cold_million``; ``verify`` stands for all
of the latter, ``balances`` for ``balances balances_hung``, and ``transfers`` for ``transfers transfers_150 transfers_calm
transfers_hung``.
"""

import asyncio
import json
import os
import platform
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import balances, delivery, transfers, verification
from benchmarks.stack import Stack, running_stack

RUNS = 3
_WIDTH = 110
WORKERS = 2
REACH = {
    "throughput.deliveries_per_second": "≥ 3000 (issue: ≥ 2000)",
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
    "balances.p50_ms": "≤ 4",
    "balances.p99_ms": "≤ 15",
    "balances_hung.p99_ms": "≤ 1.1 x of balances",
}

REACH |= {
    "transfers.transfers_per_second": "≥ 150 (beyond: 400)",
    "transfers_hung.p99_ms": "≤ 1.1 x of transfers_calm",
}
_CALM = 40
"""Transfers a second that this machine carries without a queue: what one hung wallet costs the others shows there."""

Measure = Callable[[], Awaitable[dict[str, float]]]


async def main(names: list[str], *, quick: bool) -> None:
    """Run the named benchmarks (all by default) and report."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    results: dict[str, list[dict[str, float]]] = {}
    if not names or any(name.startswith("verify") for name in names):
        async with verification.running_bench() as bench:
            await _run(console, results, await _verifications(bench, names, quick=quick))
            if not quick:
                await bench.fill_up(verification.MILLION)
                await _run(console, results, await _verifications(bench, names, suffix="_million", quick=quick))
    if not names or not all(name.startswith("verify") for name in names):
        async with running_stack(workers=WORKERS) as stack:
            await _run(console, results, await _measures(stack, names, quick=quick))
            await _run_balances(console, results, stack, names, quick=quick)
            await _run_transfers(console, results, stack, names, quick=quick)
    _print(console, results)
    console.print(f"written: {_write(results)}")


async def _run(console: Console, results: dict[str, list[dict[str, float]]], measures: dict[str, Measure]) -> None:
    for name, measure in measures.items():
        for run in range(RUNS):
            figures = await measure()
            results.setdefault(name, []).append(figures)
            shown = "  ".join(f"{key}={value:{_digits(value)}}" for key, value in figures.items())
            console.print(f"{name} run {run + 1}: {shown}")


async def _verifications(
    bench: verification.Bench, names: list[str], *, quick: bool, suffix: str = ""
) -> dict[str, Measure]:
    keys = await bench.add_keys(verification.WARM_KEYS)
    seconds = 5 if quick else 15
    measures: dict[str, Measure] = {
        "verify_in_process": lambda: verification.in_process(bench),
        "verify_http": lambda: verification.warm(bench, keys, seconds=seconds),
        "verify_cold": lambda: verification.cold(bench),
    }
    wanted = {name + suffix: measure for name, measure in measures.items()}
    return {name: measure for name, measure in wanted.items() if not names or {"verify", name} & set(names)}


async def _measures(stack: Stack, names: list[str], *, quick: bool) -> dict[str, Measure]:
    hundred = await delivery.make_lanes(stack, 100, name="hundred")
    events, seconds = (5_000, 5) if quick else (20_000, 15)
    measures: dict[str, Measure] = {
        "throughput": lambda: delivery.throughput(stack, hundred, events=events),
        "publish_single": lambda: delivery.publishing(stack, requests=events // 5, batch=1),
        "publish_batch": lambda: delivery.publishing(stack, requests=events // 50, batch=100),
        "baseline_100": lambda: delivery.latency(stack, hundred, per_second=200, seconds=seconds),
        "hanging": lambda: delivery.hanging(stack, hundred, per_second=200, seconds=seconds),
    }
    if not names or "latency" in names:
        thousand = await delivery.make_lanes(stack, 1_000, name="thousand")
        # Before the hanging one, whose timeouts would go on into its time.
        measures = {
            "latency": lambda: delivery.latency(stack, thousand, per_second=200, seconds=seconds),
            **measures,
        }
    if not names or "million" in names:
        measures |= _beside_a_million(
            stack, hundred, events=events, seconds=seconds, pending=100_000 if quick else 1_000_000
        )
    return {name: measure for name, measure in measures.items() if not names or name in names or "million" in name}


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
    console: Console, results: dict[str, list[dict[str, float]]], stack: Stack, names: list[str], *, quick: bool
) -> None:
    if names and "balances" not in names:
        return
    seconds = 5 if quick else 15
    async with balances.bench_wallets(stack) as wallets:
        measures: dict[str, Measure] = {
            "balances": lambda: balances.reads(wallets, per_second=100, seconds=seconds),
            "balances_hung": lambda: balances.reads(wallets, per_second=100, seconds=seconds, with_hung=True),
        }
        await _run(console, results, measures)


async def _run_transfers(
    console: Console, results: dict[str, list[dict[str, float]]], stack: Stack, names: list[str], *, quick: bool
) -> None:
    if names and "transfers" not in names:
        return
    count = 1_000 if quick else 4_000
    async with transfers.bench_pair(stack) as pair:
        measures: dict[str, Measure] = {
            "transfers": lambda: transfers.transfers(stack, pair, per_second=None, count=count),
            "transfers_150": lambda: transfers.transfers(stack, pair, per_second=150, count=count),
            "transfers_calm": lambda: transfers.transfers(stack, pair, per_second=_CALM, count=count // 4),
        }
        await _run(console, results, measures)
        async with transfers.hung_wallet(stack, pair, per_second=_CALM // 5) as hung:

            async def beside() -> dict[str, float]:
                return await transfers.transfers(stack, pair, per_second=_CALM, count=count // 4, beside_hung=hung)

            await _run(console, results, {"transfers_hung": beside})


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
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    asyncio.run(main(arguments, quick="--quick" in sys.argv))
