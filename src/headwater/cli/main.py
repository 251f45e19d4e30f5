"""The command line's entry."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with a code from the one table."""
