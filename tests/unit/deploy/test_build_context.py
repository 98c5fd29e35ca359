"""What the image recipes copy is in their build context, which .dockerignore shuts but for that."""

import re
from pathlib import Path

import pytest

from support.source_tree import ROOT

_COPIED = re.compile(r"^COPY (?!--from)(.+) \S+$", flags=re.MULTILINE)
_CHOICES = {
    "${SOURCE}": (
        *("services/credentials", "services/webhook-dispatcher", "services/wallet-gateway"),
        "deploy/reference-wallet",
    ),
    "deploy/${LOCK}": ("deploy/requirements.lock", "deploy/requirements-brokers.lock"),
}


def _copied(recipe: Path) -> list[str]:
    words = " ".join(_COPIED.findall(recipe.read_text())).split()
    return [name for word in words for name in _CHOICES.get(word, (word,))]


@pytest.mark.parametrize("recipe", ["deploy/Dockerfile", "deploy/try/Dockerfile"])
def test_what_is_copied_is_there_and_let_in(recipe: str) -> None:
    """Each path exists, and it or a folder above it has its line in .dockerignore."""
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = _copied(ROOT / recipe)
    assert copied
    for name in copied:
        assert (ROOT / name).exists(), name
        assert {name, *(str(parent) for parent in Path(name).parents)} & let_in, name
