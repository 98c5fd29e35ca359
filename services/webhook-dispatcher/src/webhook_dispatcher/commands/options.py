"""What the commands for publishers and integrators ask in common: where the dispatcher is, and a credential."""

from pathlib import Path
from typing import Annotated, Any, NoReturn

import httpx2
import typer
from pydantic import SecretStr

TIMEOUT_SECONDS = 30.0
_SUCCESS = 300

Url = Annotated[str, typer.Option("--url", envvar="CAUSEWAY_DISPATCHER_URL", help="Base URL of the dispatcher's API.")]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="CAUSEWAY_API_KEY",
        show_envvar=True,
        help="A credential; better in the environment or in a file than here, where other users of the machine see it.",
    ),
]
ApiKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--api-key-file", envvar="CAUSEWAY_API_KEY_FILE", exists=True, dir_okay=False, help="A file that holds it."
    ),
]
TenantId = Annotated[
    str | None, typer.Option("--tenant-id", help="ten_…, for a credential that may act for any tenant.")
]
Environment = Annotated[str, typer.Option("--environment", help="live or test, for such a credential.")]


def fail(message: str) -> NoReturn:
    """End the command with exit code 1 and a sentence that says why."""
    typer.echo(message, err=True)
    raise typer.Exit(1)


def credential(api_key: str | None, api_key_file: Path | None) -> SecretStr:
    """Return the credential, however it was given; ends the command without one."""
    if api_key and api_key_file:
        fail("Give --api-key or --api-key-file, not both.")
    text = api_key_file.read_text().strip() if api_key_file else api_key
    if not text:
        fail("A credential is needed: CAUSEWAY_API_KEY, --api-key-file, or --api-key.")
    return SecretStr(text)


class Api:
    """The dispatcher's API as a command calls it. A problem ends the command, with its detail and pointers."""

    def __init__(self, url: str, key: SecretStr) -> None:
        self._http = httpx2.Client(
            base_url=url,
            headers={"authorization": f"Bearer {key.get_secret_value()}"},
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer's JSON, or None where there is none."""
        try:
            answer = self._http.request(method, path, json=body)
        except httpx2.HTTPError as exc:
            fail(f"The dispatcher could not be reached: {type(exc).__name__}.")
        if answer.status_code < _SUCCESS:
            return answer.json() if answer.content else None
        fail(_told(answer))

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


def _told(answer: httpx2.Response) -> str:
    try:
        problem = answer.json()
        lines = [f"{answer.status_code} {problem['code']}: {problem.get('detail') or problem['title']}"]
        lines += [f"  {error['pointer']}: {error['detail']}" for error in problem.get("errors", ())]
        return "\n".join(lines)
    except (ValueError, KeyError, TypeError):
        return f"The dispatcher answered {answer.status_code} with something that is no problem document."
