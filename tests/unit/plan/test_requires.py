"""Which Meltano a project may ask for."""

from __future__ import annotations

import pytest

from headwater.plan.requires import newer_than_known


@pytest.mark.parametrize("specifier", [">=3,<4", ">=4", "==3.5.1", "~=4.4", ">=4.4.1", "<=2", "!=5", ">4.4", "==4.*"])
def test_a_project_of_a_known_meltano_is_read(specifier: str) -> None:
    assert newer_than_known(specifier) is None


@pytest.mark.parametrize(
    ("specifier", "clause"),
    [(">=5", ">=5"), (">=4.5,<5", ">=4.5"), ("!=4.2, ~=4.4.2", "~=4.4.2"), (">4.4.1", ">4.4.1")],
)
def test_a_project_of_a_newer_meltano_is_not(specifier: str, clause: str) -> None:
    assert newer_than_known(specifier) == clause
