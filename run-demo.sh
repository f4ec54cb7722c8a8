#!/usr/bin/env bash
# Replicates a file while a cluster is put through its paces, or shows one in the browser:
# ./run-demo.sh [FILE], ./run-demo.sh --web
set -euo pipefail
root="$(cd "$(dirname "$0")" && pwd)"

"${PYTHON:-python3}" "$root/.ci/environment.py" requirements-demo.txt
if [[ $# -gt 0 && "$1" != --* ]]; then
    set -- --input "$@"
fi
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "$root/.venv/bin/python" -m consensual demo "$@"
