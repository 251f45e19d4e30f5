from __future__ import annotations

import pytest

from headwater.base.redact import without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://user:word@host/db", "postgres://(redacted)@host/db"),
        ("postgres://user:a@word@host/db", "postgres://(redacted)@host/db"),
        (
            "git clone https://token@host/x.git and https://b:c@d",
            "git clone https://(redacted)@host/x.git and https://(redacted)@d",
        ),
        ('{"hub": "https://host", "mail": "me@host"}', '{"hub": "https://host", "mail": "me@host"}'),
        ("https://host/path?mail=me@host", "https://host/path?mail=me@host"),
    ],
)
def test_the_user_part_of_an_address_is_masked(text, shown):
    assert without_credentials(text) == shown
