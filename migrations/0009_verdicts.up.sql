-- A parser may come to its end without a verdict, and without having counted records: a run has
-- succeeded then, and its row says so instead of "Accepted, 0 of 0 records".
alter table parse_file_meta
    drop constraint outcome_of_a_success,
    drop constraint summary_status_known,
    add constraint outcome_of_a_success check (
        num_nonnulls(summary_status, created_by_type, error_counts, errors_by_month, error_count)
        = case when status = 'success' then 5 else 0 end),
    add constraint records_of_a_success check (
        num_nonnulls(records_in_file, records_created) in (0, 2)
        and (records_in_file is null or status = 'success')),
    add constraint summary_status_known check (summary_status in
        ('Accepted', 'Accepted with Errors', 'Partially Accepted with Errors', 'Rejected', 'No Verdict'));
