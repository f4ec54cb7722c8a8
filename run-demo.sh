#!/usr/bin/env bash
# Replicates a file while a cluster is put through its paces: ./run-demo.sh [FILE]
set -euo pipefail
root="$(cd "$(dirname "$0")" && pwd)"

"$root/.ci/environment" requirements.txt
if [[ $# -gt 0 ]]; then
    set -- --input "$@"
fi
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "$root/.venv/bin/python" -m consensual demo "$@"
