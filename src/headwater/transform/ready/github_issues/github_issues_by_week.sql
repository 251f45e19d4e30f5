-- One row for each repository and week in which something happened: how many issues were opened and closed, and how many
-- were open when it ended.
with moves as (
  select repository, cast(date_trunc('week', opened_at) as date) as week, 1 as opened, 0 as closed
  from github_issues
  union all
  select repository, cast(date_trunc('week', closed_at) as date), 0, 1
  from github_issues
  where closed_at is not null
),

weeks as (
  select repository, week, cast(sum(opened) as bigint) as opened, cast(sum(closed) as bigint) as closed
  from moves
  group by repository, week
)

select
  repository,
  week,
  opened,
  closed,
  cast(sum(opened - closed) over (partition by repository order by week) as bigint) as open_at_end
from weeks
