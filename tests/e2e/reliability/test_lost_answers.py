"""The connection is lost while the server commits: nobody knows whether it did. Nothing may come twice."""

from __future__ import annotations

import pytest

from .conftest import LAST, times
from .proxy import proxied


@pytest.mark.parametrize("delivered", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize("method", ["append", "upsert"])
@pytest.mark.parametrize("warehouse", ["postgres", "mysql"], indirect=True)
def test_a_connection_that_is_lost_at_commit(pipeline, warehouse, method, delivered, chance, figures, hw):
    made = pipeline(method)
    hw.ok(*made.argv(anew=False), TAP_NUMBERS_UPTO=25)
    upto, losses = 25, 0
    while losses < times(5, 50):
        upto += LAST
        cut = set(chance.sample(range(1, 6), 3))
        with proxied(warehouse.server.port, cut=cut, delivered=delivered) as proxy:
            port = {f"TARGET_{warehouse.name.upper()}_PORT": proxy.port}
            hw.ok(*made.argv(anew=False), **port, TAP_NUMBERS_UPTO=upto, TAP_NUMBERS_PAUSE=0.0025)
        assert proxy.losses, f"none of {proxy.commits} commits was lost"
        losses += proxy.losses
        assert warehouse.rows() == made.expected("number", upto)
        assert made.kept_state() == warehouse.reached() == upto
    figures("connection lost at COMMIT", f"{'after' if delivered else 'before'} × {method} × {warehouse.name}", losses)
