-- One row for each issue; pull requests, which GitHub counts among them, are left out.
with replies as (
  select
    comments.org,
    comments.repo,
    comments.issue_number,
    min(comments.created_at) as first_reply_at
  from tap_github.issue_comments as comments
  join tap_github.issues as issues
    on issues.org = comments.org
    and issues.repo = comments.repo
    and issues.number = comments.issue_number
  -- Who adds something to an issue of his own has not replied.
  where comments.user__login is distinct from issues.user__login
  group by comments.org, comments.repo, comments.issue_number
)

select
  issues.id as issue_id,
  concat(issues.org, '/', issues.repo) as repository,
  issues.number,
  issues.title,
  issues.state,
  issues.state_reason,
  issues.user__login as author,
  issues.assignee__login as assignee,
  issues.milestone__title as milestone,
  issues.comments,
  issues.created_at as opened_at,
  replies.first_reply_at,
  issues.closed_at,
  cast(extract(epoch from replies.first_reply_at - issues.created_at) / 3600 as decimal(18, 1)) as hours_to_reply,
  cast(extract(epoch from issues.closed_at - issues.created_at) / 3600 as decimal(18, 1)) as hours_to_close
from tap_github.issues as issues
left join replies
  on replies.org = issues.org
  and replies.repo = issues.repo
  and replies.issue_number = issues.number
where issues.type = 'issue'
