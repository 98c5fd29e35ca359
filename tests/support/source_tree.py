"""The project's Python files as syntax trees, for the tests of its architecture."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVICES = {
    "credentials": ROOT / "services/credentials/src",
    "webhook_dispatcher": ROOT / "services/webhook-dispatcher/src",
    "wallet_gateway": ROOT / "services/wallet-gateway/src",
}
# Not a service of ours, and held to the same rules.
REFERENCE_WALLET = ROOT / "deploy/reference-wallet/src"
SHARED = ROOT / "shared/src"


@dataclass(frozen=True)
class SourceFile:
    """One Python file."""

    path: Path
    module: str
    """Its import name, or its path where it has none."""

    @property
    def shown(self) -> str:
        """Return its path from the root of the project."""
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        """Return its text."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """Return its syntax tree."""
        return ast.parse(self.text)

    @property
    def docstring(self) -> str:
        """Return the module's docstring on one line."""
        return " ".join((ast.get_docstring(self.tree) or "").split())

    def imports(self) -> Sequence[tuple[str, str, int]]:
        """Give (module, name, line) of each import anywhere in the file; the name is "" for a whole module."""
        return self._imports

    @cached_property
    def _imports(self) -> Sequence[tuple[str, str, int]]:
        found: list[tuple[str, str, int]] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(alias.name, "", node.lineno) for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                found += [(node.module, alias.name, node.lineno) for alias in node.names]
        return found

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Give every function and method, nested ones too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


@lru_cache
def package_files(source: Path) -> tuple[SourceFile, ...]:
    """Return the modules below a ``src`` folder."""
    return tuple(
        SourceFile(path, ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__"))
        for path in sorted(source.rglob("*.py"))
    )


def service_files() -> tuple[SourceFile, ...]:
    """Return the modules of all services, and of the reference wallet."""
    return tuple(file for source in (*SERVICES.values(), REFERENCE_WALLET) for file in package_files(source))


@lru_cache
def all_files() -> tuple[SourceFile, ...]:
    """Return every Python file of the project that people write."""
    folders = ("shared", "services", "deploy", "tests")
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return tuple(SourceFile(path, str(path)) for path in paths if "build" not in path.parts)


def line_count(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function from its ``def`` to its end."""
    return (node.end_lineno or node.lineno) - node.lineno + 1
