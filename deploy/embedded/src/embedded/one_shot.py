"""Run a command to its end, for the steps between starting the engines and starting the services."""

import asyncio
import subprocess
from collections.abc import Mapping, Sequence

from embedded.errors import StackError

_OUTPUT_LINES_SHOWN = 25
TIMEOUT_SECONDS = 120.0


async def run_to_end(title: str, command: Sequence[str], *, environment: Mapping[str, str]) -> str:
    """Return what the command printed. Raises StackError with the end of its output when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        start_new_session=True,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), timeout=TIMEOUT_SECONDS)
    except TimeoutError as error:
        raise StackError(f"{title} took longer than {TIMEOUT_SECONDS:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode(errors="replace")
    if process.returncode != 0:
        tail = "\n".join(text.splitlines()[-_OUTPUT_LINES_SHOWN:])
        raise StackError(f"{title} failed with exit code {process.returncode}:\n{tail}")
    return text
