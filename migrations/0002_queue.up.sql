-- How work enters the queue. A backend in any language calls these functions inside its own
-- transaction: what is rolled back was never queued, and workers are told at the commit.

-- How long attempt n + 1 waits after attempt n: 10 s, 20 s, 40 s and so on, at most 10 minutes.
create function parselog_retry_delay(attempt integer) returns interval
language sql immutable parallel safe
as $$
    select least(interval '10 minutes', interval '10 seconds' * power(2, least(attempt, 20) - 1))
$$;

-- Queues one run for each of `files`, as one batch; returns the runs in the order of the files.
--
-- `files` is an array of objects: bucket, key, name, program, section, fiscal_year, fiscal_quarter,
-- and where there are any version_id, state, size_bytes, submitter_emails. A file version that is
-- known already is reused; saying something else about it than before is an error, as is naming
-- one twice.
create function enqueue_parse_many(
    files jsonb,
    submitted_by text default current_user,
    priority integer default 100,
    max_attempts integer default 3,
    run_after timestamptz default now(),
    deadline timestamptz default null,
    reason text default null
) returns table (run_id uuid, data_file_id bigint, bucket text, key text, version_id text)
language plpgsql set search_path from current
as $$
#variable_conflict use_column
declare
    batch bigint;
    complaint text;
    file_ids bigint[];
    run_ids uuid[];
begin
    if jsonb_typeof(files) is distinct from 'array' or jsonb_array_length(files) = 0 then
        raise exception 'no files to queue: expected a JSON array of objects'
            using errcode = 'invalid_parameter_value';
    end if;

    select format('%s/%s is named twice', f.bucket, f.key) into complaint
    from jsonb_to_recordset(files) as f (bucket text, key text, version_id text)
    group by f.bucket, f.key, coalesce(f.version_id, '') having count(*) > 1 limit 1;
    if complaint is not null then
        raise exception '%', complaint using errcode = 'invalid_parameter_value';
    end if;

    -- In key order, so that two callers with the same files wait for, not deadlock, each other.
    -- The update that changes next to nothing returns the row of a known file, locked.
    with given as (
        select * from rows from (jsonb_to_recordset(files) as (
            bucket text, key text, version_id text, name text, program text, section text,
            fiscal_year integer, fiscal_quarter smallint, state text, size_bytes bigint,
            submitter_emails text[])) with ordinality
    ), known as (
        insert into data_file (bucket, key, version_id, name, program, section, fiscal_year,
                               fiscal_quarter, state, size_bytes, submitted_by, submitter_emails)
        select bucket, key, coalesce(version_id, ''), name, program, section, fiscal_year,
               fiscal_quarter, state, size_bytes, enqueue_parse_many.submitted_by,
               coalesce(submitter_emails, '{}')
        from given
        order by bucket, key, version_id
        on conflict (bucket, key, version_id) do update
            set size_bytes = coalesce(data_file.size_bytes, excluded.size_bytes)
        returning *
    )
    select array_agg(k.id order by g.ordinality),
           array_agg(parselog_uuid_v7()),
           max(format('%s/%s is known as %s %s %s Q%s already', k.bucket, k.key, k.program,
                      k.section, k.fiscal_year, k.fiscal_quarter))
               filter (where (g.program, g.section, g.fiscal_year, g.fiscal_quarter)
                   is distinct from (k.program, k.section, k.fiscal_year, k.fiscal_quarter))
    into file_ids, run_ids, complaint
    from known k
    join given g on (g.bucket, g.key, coalesce(g.version_id, '')) = (k.bucket, k.key, k.version_id);
    if complaint is not null then
        raise exception '%', complaint using errcode = 'invalid_parameter_value';
    end if;

    insert into parse_meta (kind, requested_by, reason, deadline)
    values ('submission', enqueue_parse_many.submitted_by, enqueue_parse_many.reason,
            enqueue_parse_many.deadline)
    returning id into batch;

    insert into parse_file_meta
        (id, data_file_id, batch_id, kind, max_attempts, priority, run_after)
    select run, file, batch, 'submission', enqueue_parse_many.max_attempts,
           enqueue_parse_many.priority, enqueue_parse_many.run_after
    from unnest(run_ids, file_ids) as queued (run, file);

    insert into log_entry (actor, entry, data_file_id, batch_id, run_id, detail)
    select enqueue_parse_many.submitted_by, 'submitted', file, batch, run, enqueue_parse_many.reason
    from unnest(run_ids, file_ids) as queued (run, file);

    return query
    select run, file, d.bucket, d.key, d.version_id
    from unnest(run_ids, file_ids) with ordinality as queued (run, file, ordinal)
    join data_file d on d.id = file
    order by ordinal;

    perform pg_notify('parselog_queue', '');
end
$$;

-- Queues the parse of one file; returns the run. Best called by name:
--   select enqueue_parse(bucket => 'submissions', key => 'wi/2024Q1/active.txt', version_id => 'x1',
--       name => 'active.txt', program => 'tanf', section => 'active',
--       fiscal_year => 2024, fiscal_quarter => 1);
create function enqueue_parse(
    bucket text,
    key text,
    version_id text,
    name text,
    program text,
    section text,
    fiscal_year integer,
    fiscal_quarter integer,
    submitted_by text default current_user,
    submitter_emails text[] default '{}',
    priority integer default 100,
    max_attempts integer default 3,
    run_after timestamptz default now(),
    state text default null,
    size_bytes bigint default null,
    deadline timestamptz default null,
    reason text default null
) returns uuid
language sql set search_path from current
as $$
    select run_id from enqueue_parse_many(
        jsonb_build_array(jsonb_build_object(
            'bucket', bucket, 'key', key, 'version_id', version_id, 'name', name,
            'program', program, 'section', section, 'fiscal_year', fiscal_year,
            'fiscal_quarter', fiscal_quarter, 'state', state, 'size_bytes', size_bytes,
            'submitter_emails', submitter_emails)),
        submitted_by, priority, max_attempts, run_after, deadline, reason)
$$;
