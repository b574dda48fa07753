-- Every function in full, as it stands from here on: whoever changes one starts from its newest text.
--
-- A function that names tables looks for them in their own schema, whoever calls it. `from current`
-- alone would keep the search path as it is written, and `"$user"` in it is the caller's schema.
-- So each migration with such a function begins with this line; it lasts for the transaction.
select set_config('search_path', format('%I, pg_temp', nspname), true)
from pg_class join pg_namespace on pg_namespace.oid = relnamespace where pg_class.oid = 'data_file'::regclass;

-- A UUID v7: milliseconds since 1970, then twelve bits of the rest of the millisecond, so that the
-- ids of one bulk enqueue keep its order.
create or replace function parselog_uuid_v7() returns uuid
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

-- A run begins queued, goes forward only, ends once, and never changes what it is about.
create or replace function parse_file_meta_guard() returns trigger
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

-- Every change of status is an action, in the same transaction.
create or replace function parse_file_meta_action() returns trigger
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

-- History is append-only. An operator who has to change it all the same says so, in his transaction:
--   set local parselog.rewrite_history = 'on';
create or replace function parselog_append_only() returns trigger
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

-- Whether all of these look like e-mail addresses, in plain ASCII and with nothing around them.
create or replace function parselog_are_addresses(addresses text[]) returns boolean
language sql immutable parallel safe
as $$
    select coalesce(bool_and(coalesce(
        char_length(address) <= 254
        and address ~ '^[A-Za-z0-9.!#$%&''*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$', false)), true)
    from unnest(addresses) as a (address)
$$;

-- How long attempt n + 1 waits after attempt n: 10 s, 20 s, 40 s and so on, at most 10 minutes.
create or replace function parselog_retry_delay(attempt integer) returns interval
language sql immutable parallel safe
as $$
    select least(interval '10 minutes', interval '10 seconds' * power(2, least(attempt, 20) - 1))
$$;

-- Queues one run for each of `files`, as one batch; returns the runs in the order of the files.
--
-- `files` is an array of objects: bucket, key, name, program, section, fiscal_year, fiscal_quarter,
-- and where there are any version_id, state, size_bytes, submitter_emails. A file version that is
-- known already is reused; saying something else about it than before is an error, as is naming
-- one twice. Addresses replace those from before, and naming none keeps them.
create or replace function enqueue_parse_many(
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
            set size_bytes = coalesce(data_file.size_bytes, excluded.size_bytes),
                submitter_emails = case when excluded.submitter_emails = '{}'
                    then data_file.submitter_emails else excluded.submitter_emails end
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
create or replace function enqueue_parse(
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

-- The files that a selection names, in the order of their ids. Its keys, all of which must fit:
--   files            ids of data files
--   program, section, state, fiscal_year, fiscal_quarter
--   status           how the file's latest ended run came out: any of these run statuses or verdicts
--   since            submitted at this moment or later
--   every_version    true: also versions of an object that a later submission replaced; else the
--                    newest version of each object only, unless `files` names them
--   all              true: nothing else is asked for
create or replace function reparse_files(selection jsonb) returns setof bigint
language plpgsql stable set search_path from current
as $$
declare
    unknown text;
begin
    select string_agg(key, ', ') into unknown from jsonb_object_keys(selection) as keys (key)
    where key not in ('files', 'program', 'section', 'state', 'fiscal_year', 'fiscal_quarter', 'status',
                      'since', 'every_version', 'all');
    if unknown is not null then
        raise exception 'a selection of files knows no %', unknown using errcode = 'invalid_parameter_value';
    end if;
    if not (selection - 'every_version' <> '{}') then
        raise exception 'the selection is empty: name files, say what they are, or say "all"'
            using errcode = 'invalid_parameter_value';
    end if;
    return query
    select f.id from data_file f
    where (not selection ? 'files'
           or f.id in (select value::bigint from jsonb_array_elements_text(selection->'files')))
      and (not selection ? 'program' or f.program = selection->>'program')
      and (not selection ? 'section' or f.section = selection->>'section')
      and (not selection ? 'state' or f.state = selection->>'state')
      and (not selection ? 'fiscal_year' or f.fiscal_year = (selection->>'fiscal_year')::integer)
      and (not selection ? 'fiscal_quarter' or f.fiscal_quarter = (selection->>'fiscal_quarter')::integer)
      and (not selection ? 'since' or f.created_at >= (selection->>'since')::timestamptz)
      and (not selection ? 'status' or exists (
              select 1 from (select r.status, r.summary_status from parse_file_meta r
                             where r.data_file_id = f.id and r.finished_at is not null
                             order by r.id desc limit 1) as latest
              where selection->'status' ? latest.status or selection->'status' ? latest.summary_status))
      and (selection ? 'files' or coalesce((selection->>'every_version')::boolean, false)
           or not exists (select 1 from data_file newer
                          where newer.bucket = f.bucket and newer.key = f.key and newer.id > f.id))
    order by f.id;
end
$$;

-- Queues a run of each file that the selection names, as one batch, behind all submissions; returns
-- the reparse id and how many files it has.
--
-- While another reparse that has one of these files is unfinished and not past its deadline, it is
-- refused with the error code 55006 (object_in_use), unless `force` is set; then the audit says so.
create or replace function enqueue_reparse(
    selection jsonb,
    requested_by text default current_user,
    reason text default null,
    priority integer default 200,
    max_attempts integer default 3,
    deadline timestamptz default now() + interval '24 hours',
    force boolean default false
) returns table (reparse_id bigint, files bigint)
language plpgsql set search_path from current
as $$
declare
    file_ids bigint[];
    other record;
    batch bigint;
    forced text := '';
begin
    -- Two reparses that are asked for at once must see each other.
    perform pg_advisory_xact_lock(hashtext('parselog_reparse'));
    select array_agg(f) into file_ids from reparse_files(selection) as f;
    if file_ids is null then
        raise exception 'no file fits the selection' using errcode = 'no_data_found';
    end if;

    select b.id, b.requested_by, count(distinct r.data_file_id) as files into other
    from parse_meta b
    join parse_file_meta r on r.batch_id = b.id and r.data_file_id = any(file_ids)
    where b.kind = 'reparse' and b.finished_at is null and (b.deadline is null or b.deadline > now())
      and exists (select 1 from parse_file_meta o
                  where o.batch_id = b.id and o.status in ('queued', 'running'))
    group by b.id order by b.id desc limit 1;
    if other.id is not null then
        if not force then
            raise exception 'reparse % by % has % of these files and is unfinished',
                other.id, other.requested_by, other.files using errcode = 'object_in_use';
        end if;
        forced := format('; forced: reparse %s is unfinished and has %s of them', other.id, other.files);
    end if;

    insert into parse_meta (kind, requested_by, reason, selection, deadline)
    values ('reparse', enqueue_reparse.requested_by, enqueue_reparse.reason, enqueue_reparse.selection,
            enqueue_reparse.deadline)
    returning id into batch;

    insert into parse_file_meta (data_file_id, batch_id, kind, max_attempts, priority)
    select file, batch, 'reparse', enqueue_reparse.max_attempts, enqueue_reparse.priority
    from unnest(file_ids) with ordinality as f (file, ordinal) order by ordinal;

    insert into log_entry (actor, entry, batch_id, detail)
    values (enqueue_reparse.requested_by, 'reparse-queued', batch,
            format('%s files: %s%s%s', cardinality(file_ids), selection,
                   '; ' || enqueue_reparse.reason, forced));

    perform pg_notify('parselog_queue', '');
    return query select batch, cardinality(file_ids)::bigint;
end
$$;
