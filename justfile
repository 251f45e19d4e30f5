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

# Have Meltano (from PyPI) answer the cases of tests/drop_in anew, all or those that `-k` names
drop-in *arguments:
    HEADWATER_DROP_IN=record pytest -q --tb=short tests/drop_in {{arguments}}

# Everything; the tests in three processes, since those with whole programs wait for most of their time
check: lint docs-check
    pytest -n 3 --dist loadfile --no-loadscope-reorder --durations 30 || python scripts/second_look.py $?
