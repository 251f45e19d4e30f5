"""The ready-made transforms on a handful of rows."""

from headwater.transform import ready
from headwater.transform.definitions import DEFINITIONS, READY_MADE

ISSUES = """
create schema tap_github;
create table tap_github.issues (id bigint, org text, repo text, number bigint, title text, state text,
  state_reason text, user__login text, assignee__login text, milestone__title text, comments bigint, labels {json},
  type text, created_at timestamptz, closed_at timestamptz);
create table tap_github.issue_comments (id bigint, org text, repo text, issue_number bigint, user__login text,
  created_at timestamptz);
insert into tap_github.issues values
  (1, 'o', 'r', 1, 'A', 'closed', 'completed', 'ann', 'bob', 'v1', 2, '[{{"name": "bug"}}, {{"name": "ui"}}]', 'issue',
   '2024-01-01 00:00Z', '2024-01-09 00:00Z'),
  (2, 'o', 'r', 2, 'B', 'open', null, 'bob', null, null, 0, '[]', 'issue', '2024-01-10 00:00Z', null),
  (3, 'o', 'r', 3, 'PR', 'open', null, 'bob', null, null, 0, '[]', 'pull_request', '2024-01-10 00:00Z', null);
insert into tap_github.issue_comments values
  (1, 'o', 'r', 1, 'ann', '2024-01-01 01:00Z'), (2, 'o', 'r', 1, 'bob', '2024-01-01 06:30Z')
"""


def test_every_ready_made_transform_can_be_added_and_every_one_has_its_files():
    assert ready.names() == tuple(item.name for item in DEFINITIONS if item.native == READY_MADE)


def test_issues_of_github(site):
    site.sql(ISSUES.format(json="json" if site.native == "duckdb" else "jsonb"))
    for name, content in ready.files("github-issues", site.native).items():
        (site.root / "models").mkdir(exist_ok=True)
        (site.root / "models" / name).write_bytes(content)
    site.build()
    shown = "issue_id, repository, author, cast(hours_to_reply as text), cast(hours_to_close as text)"
    assert site.sql(f"select {shown} from analytics.github_issues order by 1") == [
        (1, "o/r", "ann", "6.5", "192.0"),
        (2, "o/r", "bob", None, None),
    ]
    assert site.sql("select * from analytics.github_issue_labels order by 2") == [(1, "bug"), (1, "ui")]
    weeks = "select cast(week as text), opened, closed, open_at_end from analytics.github_issues_by_week order by 1"
    assert site.sql(weeks) == [("2024-01-01", 1, 0, 1), ("2024-01-08", 1, 1, 1)]
