#!/usr/bin/env bash
# Runs everything that decides whether a change is right:
# ./run-tests.sh [--docker] [--long] [pytest arguments]
# run-tests.ps1 is its twin: a step that is added here is added there.
set -euo pipefail
cd "$(dirname "$0")"

if [[ "${1:-}" == --docker ]]; then
    shift
    exec docker compose --file docker-compose.yml run --build --rm test "$@"
fi

selection=(-m "not long")
if [[ "${1:-}" == --long ]]; then
    selection=()
    shift
fi

"${PYTHON:-python3}" .ci/environment.py requirements-tests.txt
export PATH="$PWD/.venv/bin:$PATH"

echo "== lint"
ruff check .
ruff format --check .
echo "== types"
mypy
echo "== import contracts"
lint-imports
echo "== tests"
if [[ $# -gt 0 ]]; then
    exec python -m pytest ${selection[@]+"${selection[@]}"} "$@"
fi
# what kills and stops real processes gets the machine for itself
alone=(tests/processes tests/crashes)
python -m pytest ${selection[@]+"${selection[@]}"} --numprocesses auto --dist loadfile "${alone[@]/#/--ignore=}"
python -m pytest ${selection[@]+"${selection[@]}"} "${alone[@]}"
