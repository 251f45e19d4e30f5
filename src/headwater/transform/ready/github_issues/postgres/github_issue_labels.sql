-- One row for each label of an issue.
select issues.id as issue_id, label ->> 'name' as label
from tap_github.issues as issues, jsonb_array_elements(issues.labels) as label
where issues.type = 'issue'
