drop view run;
drop trigger logs_uri_of_the_log on parse_file_meta;
drop trigger gets_a_log on parse_file_meta;

alter table parse_file_meta
    drop constraint counts_not_negative,
    drop constraint counts_are_objects,
    add column log_state text not null default 'none',
    add column log_raw_bytes bigint,
    add column log_gzip_bytes bigint,
    add column log_lines bigint,
    add column log_events jsonb,
    add column log_dropped bigint,
    add column log_raw_sha256 bytea,
    add column log_gzip_sha256 bytea,
    add column log_archived_at timestamptz,
    add column archive_error text,
    add column archive_attempts integer not null default 0;

update parse_file_meta r
set log_state = l.state, log_raw_bytes = l.raw_bytes, log_gzip_bytes = l.gzip_bytes, log_lines = l.lines,
    log_events = l.events, log_dropped = l.dropped, log_raw_sha256 = l.raw_sha256,
    log_gzip_sha256 = l.gzip_sha256, log_archived_at = l.archived_at, archive_error = l.error,
    archive_attempts = l.attempts
from log l where l.run_id = r.id;

alter table parse_file_meta
    add constraint counts_not_negative check (
        least(records_in_file, records_created, error_count, first_error_record,
              log_raw_bytes, log_gzip_bytes, log_lines, log_dropped, archive_attempts) >= 0),
    add constraint counts_are_objects check (
        jsonb_typeof(created_by_type) = 'object' and jsonb_typeof(error_counts) = 'object'
        and jsonb_typeof(errors_by_month) = 'object' and jsonb_typeof(log_events) = 'object'),
    add constraint log_state_known check (log_state in
        ('none', 'open', 'sealed', 'archived', 'fallback', 'lost', 'pruned')),
    add constraint uri_when_archived check ((logs_uri is not null) = (log_state = 'archived')),
    add constraint archive_is_described check (
        num_nonnulls(log_gzip_bytes, log_raw_sha256, log_gzip_sha256, log_archived_at)
        = case when log_state in ('archived', 'pruned') then 4 else 0 end),
    add constraint archived_log_is_counted check (
        log_state not in ('archived', 'pruned')
        or num_nonnulls(log_raw_bytes, log_lines, log_events, log_dropped) = 4),
    add constraint sha256_is_32_bytes check
        (octet_length(log_raw_sha256) = 32 and octet_length(log_gzip_sha256) = 32),
    add constraint fallback_has_a_reason check (log_state not in ('fallback', 'lost') or archive_error is not null),
    add constraint archived_has_no_error check (log_state <> 'archived' or archive_error is null);
create index parse_file_meta_unarchived on parse_file_meta (id) where log_state in ('fallback', 'lost');

drop table log;
drop function parse_file_meta_logs_uri, log_uri_to_run, parse_file_meta_log;
