-- A log is not a run: each has an id, a subject and a state of its own. The subject of a log is a run, or
-- a segment of the endless log of a service. A run's log has the run's id, so that whoever finds a log
-- without the database knows whose it is.
select set_config('search_path', format('%I, pg_temp', nspname), true)
from pg_class join pg_namespace on pg_namespace.oid = relnamespace where pg_class.oid = 'data_file'::regclass;

create table log (
    id uuid primary key default parselog_uuid_v7(),
    run_id uuid unique references parse_file_meta,
    service text,                               -- whose stream it is a segment of
    state text not null default 'none',
    uri text,
    raw_bytes bigint,
    gzip_bytes bigint,
    lines bigint,
    events jsonb,                               -- stored events by level: {"INFO": 10}
    dropped bigint,                             -- events declared dropped
    raw_sha256 bytea,
    gzip_sha256 bytea,
    first_at timestamptz,                       -- of its first record
    last_at timestamptz,                        -- of its last record; of logs before this table, unknown
    archived_at timestamptz,
    attempts integer not null default 0,        -- to archive it that failed
    error text,                                 -- the last one, until it is archived

    constraint one_subject check (num_nonnulls(run_id, service) = 1),
    constraint run_gives_its_id check (run_id = id),
    constraint log_state_known check (state in
        ('none', 'open', 'sealed', 'archived', 'fallback', 'lost', 'pruned')),
    constraint uri_when_archived check ((uri is not null) = (state = 'archived')),
    constraint uri_of_an_object check (uri ~ '^(s3|file)://.'),
    constraint archive_is_described check (
        num_nonnulls(gzip_bytes, raw_sha256, gzip_sha256, archived_at)
        = case when state in ('archived', 'pruned') then 4 else 0 end),
    constraint archived_log_is_counted check (
        state not in ('archived', 'pruned') or num_nonnulls(raw_bytes, lines, events, dropped) = 4),
    constraint log_counts_not_negative check (least(raw_bytes, gzip_bytes, lines, dropped, attempts) >= 0),
    constraint events_are_an_object check (jsonb_typeof(events) = 'object'),
    constraint sha256_is_32_bytes check (octet_length(raw_sha256) = 32 and octet_length(gzip_sha256) = 32),
    constraint fallback_has_a_reason check (state not in ('fallback', 'lost') or error is not null),
    constraint archived_has_no_error check (state <> 'archived' or error is null)
) with (fillfactor = 70);

insert into log (id, run_id, state, uri, raw_bytes, gzip_bytes, lines, events, dropped, raw_sha256, gzip_sha256,
                 first_at, archived_at, attempts, error)
select id, id, log_state, logs_uri, log_raw_bytes, log_gzip_bytes, log_lines, log_events, log_dropped,
       log_raw_sha256, log_gzip_sha256, case when log_lines is not null then started_at end, log_archived_at,
       archive_attempts, archive_error
from parse_file_meta;

create index log_unarchived on log (id) where state in ('fallback', 'lost');
create index log_archived on log (archived_at) where state = 'archived';

-- What the log says is no longer said twice, but for its URI, which anybody reads where it always was.
alter table parse_file_meta
    drop column log_state,
    drop column log_raw_bytes,
    drop column log_gzip_bytes,
    drop column log_lines,
    drop column log_events,
    drop column log_dropped,
    drop column log_raw_sha256,
    drop column log_gzip_sha256,
    drop column log_archived_at,
    drop column archive_error,
    drop column archive_attempts,
    add constraint counts_not_negative check
        (least(records_in_file, records_created, error_count, first_error_record) >= 0),
    add constraint counts_are_objects check (
        jsonb_typeof(created_by_type) = 'object' and jsonb_typeof(error_counts) = 'object'
        and jsonb_typeof(errors_by_month) = 'object');

-- Every run has a log from its beginning, even if nobody opens it. With the rights of its owner, so that
-- a backend that may queue runs needs no more than before.
create function parse_file_meta_log() returns trigger
language plpgsql security definer set search_path from current
as $$
begin
    insert into log (id, run_id) select id, id from queued;
    return null;
end
$$;
create trigger gets_a_log after insert on parse_file_meta
    referencing new table as queued for each statement execute function parse_file_meta_log();

-- `parse_file_meta.logs_uri` is the URI of the run's log, and nothing else.
create function log_uri_to_run() returns trigger
language plpgsql set search_path from current
as $$
begin
    update parse_file_meta set logs_uri = new.uri where id = new.run_id;
    return null;
end
$$;
create trigger tells_its_run after update of uri on log
    for each row when (new.run_id is not null and new.uri is distinct from old.uri)
    execute function log_uri_to_run();

create function parse_file_meta_logs_uri() returns trigger
language plpgsql set search_path from current
as $$
begin
    if new.logs_uri is distinct from (select uri from log where run_id = new.id) then
        raise exception 'logs_uri of run % is the uri of its log: change it there', new.id
            using errcode = 'check_violation';
    end if;
    return new;
end
$$;
create trigger logs_uri_of_the_log before update of logs_uri on parse_file_meta
    for each row when (new.logs_uri is distinct from old.logs_uri)
    execute function parse_file_meta_logs_uri();

-- A run as it is asked for: with its file, its batch and its log.
create view run as
select r.*,
       f.bucket, f.key, f.version_id, f.name, f.program, f.section, f.fiscal_year, f.fiscal_quarter, f.state,
       f.size_bytes, f.sha256, f.legal_hold,
       b.requested_by, b.reason,
       l.state as log_state, l.raw_bytes as log_raw_bytes, l.gzip_bytes as log_gzip_bytes, l.lines as log_lines,
       l.events as log_events, l.dropped as log_dropped, l.raw_sha256 as log_raw_sha256,
       l.gzip_sha256 as log_gzip_sha256, l.archived_at as log_archived_at, l.error as archive_error,
       l.attempts as archive_attempts
from parse_file_meta r
join data_file f on f.id = r.data_file_id
join parse_meta b on b.id = r.batch_id
join log l on l.run_id = r.id;
