"""Looks at what is there to be read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from headwater.base.scratch import scratch
from headwater.connect.sources.mysql import catalog
from headwater.connect.sources.mysql.address import address_of
from headwater.connect.sources.mysql.link import opened
from headwater.connect.sources.mysql.session import ERRORS, Session
from headwater.connect.sources.mysql.settings import Settings
from headwater.connect.sources.mysql.trouble import cannot_look
from headwater.model.catalog import Catalog

# Queries of the server's own catalog.
_IDLE_SECONDS = 60.0


def discover(settings: Settings) -> Catalog:
    """See the package."""
    with _connected(settings) as session:
        return catalog.catalog(catalog.tables(session, settings), settings)


def signature(settings: Settings) -> str:
    """See the package."""
    with _connected(settings) as session:
        return catalog.digest(session, settings)


@contextlib.contextmanager
def _connected(settings: Settings) -> Iterator[Session]:
    with scratch() as folder:
        address = address_of(settings, folder)
        session = opened(address, settings, application="headwater: discovery", idle_seconds=_IDLE_SECONDS)
        try:
            yield session
        except ERRORS as error:
            raise cannot_look(address, error) from error
        finally:
            session.close()
