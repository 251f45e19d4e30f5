-- One row for each label of an issue.
select issues.id as issue_id, label.value ->> 'name' as label
from tap_github.issues as issues, json_each(issues.labels) as label
where issues.type = 'issue'
