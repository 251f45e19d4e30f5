# The tasks of this repository. `just check` is what CI runs.

default:
    @just --list

# Lint, format check, types, import floors
lint:
    ruff check .
    ruff format --check .
    mypy
    lint-imports

# All tests (real plugins from PyPI and real databases included)
test *arguments:
    pytest {{arguments}}

# Tests that need neither network nor servers
unit *arguments:
    pytest -m "not e2e" {{arguments}}

# List the cases of loading and the tests that hold them
cases:
    python tests/contract/cases.py

# Put right what can be put right by machine
fix:
    ruff check --fix .
    ruff format .

# Write the reference pages from the code
docs:
    python scripts/reference.py

# Fail when a reference page is out of step with the code
docs-check:
    python scripts/reference.py --check

# Renew the pins (constraints.txt and the list in pyproject.toml)
pin:
    python scripts/pin.py

# Measure against the limits and the peers; writes benchmarks/RESULTS.md
bench *arguments:
    python benchmarks/run.py {{arguments}}

# Hurt loads in every way the tests know; writes docs/reference/reliability.md (`--long` for the night)
reliability *arguments:
    python scripts/reliability.py {{arguments}}

# Everything; the tests in three parts side by side, since those with whole programs wait for most of their time
check: lint docs-check
    #!/usr/bin/env bash
    set -uo pipefail
    logs=$(mktemp -d)
    pytest tests/e2e/reliability >"$logs/1" 2>&1 &
    reliability=$!
    pytest tests/e2e --ignore tests/e2e/reliability >"$logs/2" 2>&1 &
    programs=$!
    pytest --ignore tests/e2e
    failed=$?
    wait $programs || failed=1
    wait $reliability || failed=1
    cat "$logs"/*
    rm -r "$logs"
    exit $failed
