-- What had no verdict was called accepted before, with no records.
update parse_file_meta set summary_status = 'Accepted' where summary_status = 'No Verdict';
update parse_file_meta set records_in_file = 0, records_created = 0
where status = 'success' and records_in_file is null;
alter table parse_file_meta
    drop constraint outcome_of_a_success,
    drop constraint records_of_a_success,
    drop constraint summary_status_known,
    add constraint outcome_of_a_success check (
        num_nonnulls(summary_status, records_in_file, records_created, created_by_type,
                     error_counts, errors_by_month, error_count)
        = case when status = 'success' then 7 else 0 end),
    add constraint summary_status_known check (summary_status in
        ('Accepted', 'Accepted with Errors', 'Partially Accepted with Errors', 'Rejected'));
