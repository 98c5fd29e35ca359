#!/usr/bin/env bash
# Resolves the dependencies of the workspace into three locks: all of it, what the containers need, and that with brokers' clients.
# Exact versions with hashes and no address, so that any index or mirror serves.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
"$python" -m venv "$tool"
"$tool/bin/python" -m pip install --quiet --disable-pip-version-check uv
# The resolver does not read pip's configuration: hand it the index that pip uses.
if [ -z "${UV_DEFAULT_INDEX:-}" ] && index=$("$python" -m pip config get global.index-url 2>/dev/null); then
    export UV_DEFAULT_INDEX="$index"
fi
options=(--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet)
# Versions already locked stay, unless LOCK_OPTIONS=--upgrade.
read -ra extra <<<"${LOCK_OPTIONS:-}"
options+=(${extra[@]+"${extra[@]}"})
for own in shared credentials webhook-dispatcher wallet-gateway reference-wallet embedded; do
    options+=(--no-emit-package "$own")
done
"$tool/bin/uv" pip compile pyproject.toml --group dev "${options[@]}" -o requirements.lock
"$tool/bin/uv" pip compile services/*/pyproject.toml -c requirements.lock "${options[@]}" -o deploy/requirements.lock
"$tool/bin/uv" pip compile services/*/pyproject.toml --all-extras -c requirements.lock "${options[@]}" -o deploy/requirements-brokers.lock
git diff --stat -- requirements.lock deploy/*.lock || true
