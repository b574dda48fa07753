-- The tables: what was submitted, what asked for a parse, every run, and what happened to it.
-- Wrong states are refused here, by the database, whatever the code does.

-- A UUID v7: milliseconds since 1970, then twelve bits of the rest of the millisecond, so that the
-- ids of one bulk enqueue keep its order.
create function parselog_uuid_v7() returns uuid
language sql volatile parallel safe
as $$
    select encode(
        set_byte(
            set_byte(
                overlay(uuid_send(gen_random_uuid())
                        placing substring(int8send(micros / 1000) from 3) from 1 for 6),
                6, 112 | (fraction >> 8)),
            7, fraction & 255),
        'hex')::uuid
    from (
        select micros, ((micros % 1000) * 4096 / 1000)::integer as fraction
        from (select (extract(epoch from clock_timestamp()) * 1000000)::bigint as micros) as clock
    ) as split
$$;

-- One submitted file: exactly one version of one object.
create table data_file (
    id bigint generated always as identity primary key,
    bucket text not null check (bucket <> ''),
    key text not null check (octet_length(key) between 1 and 1024),
    version_id text not null default '',        -- '' where the bucket keeps no versions
    name text not null check (name <> ''),      -- as the submitter called it
    program text not null check (program ~ '^[a-z][a-z0-9-]*$'),
    section text not null check (section ~ '^[a-z][a-z0-9-]*$'),
    fiscal_year integer not null check (fiscal_year between 1990 and 2100),
    fiscal_quarter smallint not null check (fiscal_quarter between 1 and 4),
    state text check (char_length(state) between 1 and 16),
    size_bytes bigint check (size_bytes >= 0),
    submitted_by text not null check (submitted_by <> ''),
    submitter_emails text[] not null default '{}',
    legal_hold boolean not null default false,  -- its logs are never pruned
    created_at timestamptz not null default now(),
    unique (bucket, key, version_id)
);
create index data_file_period on data_file (program, section, fiscal_year, fiscal_quarter);
create index data_file_name on data_file (name);

-- What asked for runs: a submission or a reparse, whose id is the reparse id.
create table parse_meta (
    id bigint generated always as identity primary key,
    kind text not null check (kind in ('submission', 'reparse')),
    requested_by text not null check (requested_by <> ''),
    reason text,
    selection jsonb,                            -- how a reparse chose its files
    created_at timestamptz not null default now(),
    deadline timestamptz,                       -- unfinished after it: somebody is told
    finished_at timestamptz,                    -- no run of it is queued or running any more
    unique (id, kind),
    check ((selection is not null) = (kind = 'reparse')),
    check (jsonb_typeof(selection) = 'object')
);
create index parse_meta_unfinished on parse_meta (id) where finished_at is null;

-- One run: one attempt at parsing one data file. The row is also the job in the queue. It is
-- claimed at most once, ever: a retry is a new row, so the run id itself fences off a worker that
-- lost its lease.
create table parse_file_meta (
    id uuid primary key default parselog_uuid_v7(),
    data_file_id bigint not null references data_file,
    batch_id bigint not null,
    kind text not null,                         -- the batch's
    reparse_id bigint generated always as (case when kind = 'reparse' then batch_id end) stored,
    attempt integer not null default 1,
    max_attempts integer not null default 3,

    -- the job
    status text not null default 'queued',
    priority smallint not null default 100,     -- lower goes first
    run_after timestamptz not null default now(),
    queued_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    deadline timestamptz,                       -- of the run, set at the claim
    worker text,
    lease_token uuid,                           -- of the one claim; kept, so a finish can be repeated
    lease_until timestamptz,
    heartbeat_at timestamptz,
    cancel_requested_at timestamptz,
    cancel_requested_by text,
    failure text,                               -- why the run did not succeed

    -- the outcome
    summary_status text,
    records_in_file bigint,
    records_created bigint,
    created_by_type jsonb,                      -- {"T1": 2}
    error_counts jsonb,                         -- by category: {"2": 14}
    errors_by_month jsonb,                      -- {"202010": {"2": 14}}
    error_count bigint,
    first_error_record bigint,
    first_error text,

    -- the log
    log_state text not null default 'none',
    logs_uri text,
    log_raw_bytes bigint,
    log_gzip_bytes bigint,
    log_lines bigint,
    log_events jsonb,                           -- stored events by level: {"INFO": 10}
    log_dropped bigint,                         -- events declared dropped
    log_raw_sha256 bytea,
    log_gzip_sha256 bytea,
    log_archived_at timestamptz,
    archive_error text,                         -- the last one, until it is archived
    archive_attempts integer not null default 0,

    foreign key (batch_id, kind) references parse_meta (id, kind),
    constraint one_row_per_attempt unique (batch_id, data_file_id, attempt),

    constraint attempt_within_limit check (attempt between 1 and max_attempts),
    constraint status_known check (status in
        ('queued', 'running', 'success', 'fail', 'terminate', 'inaction', 'crash')),
    constraint claimed_as_a_whole check (num_nonnulls(worker, lease_token, started_at, heartbeat_at) in (0, 4)),
    constraint queued_is_unclaimed check (status <> 'queued' or started_at is null),
    constraint ended_was_claimed check (status in ('queued', 'inaction') or started_at is not null),
    constraint deadline_of_a_claim check (deadline is null or started_at is not null),
    constraint leased_while_running check ((lease_until is not null) = (status = 'running')),
    constraint finished_when_ended check ((finished_at is not null) = (status not in ('queued', 'running'))),
    constraint failure_has_a_reason check
        ((failure is not null) = (status in ('fail', 'terminate', 'inaction', 'crash'))),
    constraint cancel_has_a_name check ((cancel_requested_at is null) = (cancel_requested_by is null)),

    constraint outcome_of_a_success check (
        num_nonnulls(summary_status, records_in_file, records_created, created_by_type,
                     error_counts, errors_by_month, error_count)
        = case when status = 'success' then 7 else 0 end),
    constraint first_error_of_an_outcome check
        (first_error is not null or first_error_record is null),
    constraint first_error_counts check (first_error is null or error_count is not null),
    constraint summary_status_known check (summary_status in
        ('Accepted', 'Accepted with Errors', 'Partially Accepted with Errors', 'Rejected')),
    constraint counts_not_negative check (
        least(records_in_file, records_created, error_count, first_error_record,
              log_raw_bytes, log_gzip_bytes, log_lines, log_dropped, archive_attempts) >= 0),
    constraint counts_are_objects check (
        jsonb_typeof(created_by_type) = 'object' and jsonb_typeof(error_counts) = 'object'
        and jsonb_typeof(errors_by_month) = 'object' and jsonb_typeof(log_events) = 'object'),

    constraint log_state_known check (log_state in
        ('none', 'open', 'sealed', 'archived', 'fallback', 'lost', 'pruned')),
    constraint uri_when_archived check ((logs_uri is not null) = (log_state = 'archived')),
    constraint uri_of_an_object check (logs_uri ~ '^(s3|file)://.'),
    constraint archive_is_described check (
        num_nonnulls(log_gzip_bytes, log_raw_sha256, log_gzip_sha256, log_archived_at)
        = case when log_state in ('archived', 'pruned') then 4 else 0 end),
    constraint archived_log_is_counted check (
        log_state not in ('archived', 'pruned')
        or num_nonnulls(log_raw_bytes, log_lines, log_events, log_dropped) = 4),
    constraint sha256_is_32_bytes check
        (octet_length(log_raw_sha256) = 32 and octet_length(log_gzip_sha256) = 32),
    constraint fallback_has_a_reason check (log_state not in ('fallback', 'lost') or archive_error is not null),
    constraint archived_has_no_error check (log_state <> 'archived' or archive_error is null)
) with (fillfactor = 70);                       -- room for heartbeats on the same page

-- Two runs of one data file never overlap.
create unique index one_running_per_file on parse_file_meta (data_file_id) where status = 'running';
create index parse_file_meta_claim on parse_file_meta (priority, run_after, id) where status = 'queued';
create index parse_file_meta_of_file on parse_file_meta (data_file_id, id);
create index parse_file_meta_of_batch on parse_file_meta (batch_id, id);
create index parse_file_meta_open on parse_file_meta (batch_id) where status in ('queued', 'running');
create index parse_file_meta_unarchived on parse_file_meta (id) where log_state in ('fallback', 'lost');
-- Ids of one minute begin alike, so people name a run by the end of its id.
create index parse_file_meta_suffix on parse_file_meta (reverse(id::text) text_pattern_ops);

-- What happened to a run, or to another task.
create table run_action (
    id bigint generated always as identity primary key,
    run_id uuid references parse_file_meta,
    task text not null check (task ~ '^[a-z][a-z0-9_.-]*$'),
    action text not null check (action in ('run', 'success', 'fail', 'terminate', 'inaction', 'crash')),
    at timestamptz not null default clock_timestamp(),
    worker text,
    detail text
);
create index run_action_of_run on run_action (run_id, id);
create index run_action_of_task on run_action (task, action, id);

-- The audit log: who did what to which file, batch or run. Without an actor it is the connection's
-- application name.
create table log_entry (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    actor text not null default coalesce(nullif(current_setting('application_name', true), ''), current_user)
        check (actor <> ''),
    entry text not null check (entry ~ '^[a-z][a-z0-9-]*$'),
    data_file_id bigint references data_file,
    batch_id bigint references parse_meta,
    run_id uuid references parse_file_meta,
    detail text
);
create index log_entry_of_run on log_entry (run_id, id);
create index log_entry_of_file on log_entry (data_file_id, id);
create index log_entry_of_batch on log_entry (batch_id, id);
create index log_entry_by_entry on log_entry (entry, id);

-- A run begins queued, goes forward only, ends once, and never changes what it is about.
create function parse_file_meta_guard() returns trigger
language plpgsql
as $$
begin
    if tg_op = 'INSERT' then
        raise exception 'a run begins as queued, not as %', new.status using errcode = 'check_violation';
    end if;
    if (new.id, new.data_file_id, new.batch_id, new.kind, new.attempt)
        is distinct from (old.id, old.data_file_id, old.batch_id, old.kind, old.attempt) then
        raise exception 'run % can not change what it is about', old.id using errcode = 'check_violation';
    end if;
    if new.status <> old.status
        and not (old.status = 'queued' and new.status in ('running', 'inaction'))
        and not (old.status = 'running' and new.status <> 'queued') then
        raise exception 'run % is %: it can not become %', old.id, old.status, new.status
            using errcode = 'check_violation';
    end if;
    return new;
end
$$;
create trigger begins_queued before insert on parse_file_meta
    for each row when (new.status <> 'queued') execute function parse_file_meta_guard();
create trigger goes_forward before update of id, data_file_id, batch_id, kind, attempt, status
    on parse_file_meta for each row execute function parse_file_meta_guard();

-- Every change of status is an action, in the same transaction.
create function parse_file_meta_action() returns trigger
language plpgsql set search_path from current
as $$
begin
    insert into run_action (run_id, task, action, worker, detail)
    values (
        new.id,
        case new.kind when 'reparse' then 'reparse' else 'parse' end,
        case new.status when 'running' then 'run' else new.status end,
        new.worker,
        case new.status
            when 'running' then format('attempt %s of %s', new.attempt, new.max_attempts)
            when 'success' then new.summary_status
            else new.failure
        end);
    return null;
end
$$;
create trigger records_action after update of status on parse_file_meta
    for each row when (old.status is distinct from new.status) execute function parse_file_meta_action();

-- History is append-only. An operator who has to change it all the same says so, in his transaction:
--   set local parselog.rewrite_history = 'on';
create function parselog_append_only() returns trigger
language plpgsql
as $$
begin
    if coalesce(current_setting('parselog.rewrite_history', true), '') = 'on' then
        return case tg_op when 'DELETE' then old else new end;
    end if;
    raise exception '% is append-only: % refused', tg_table_name, lower(tg_op)
        using errcode = 'restrict_violation', hint = 'set local parselog.rewrite_history = ''on''';
end
$$;
create trigger append_only before update or delete on run_action
    for each row execute function parselog_append_only();
create trigger append_only_as_a_whole before truncate on run_action
    for each statement execute function parselog_append_only();
create trigger append_only before update or delete on log_entry
    for each row execute function parselog_append_only();
create trigger append_only_as_a_whole before truncate on log_entry
    for each statement execute function parselog_append_only();
