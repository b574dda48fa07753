-- What makes two submissions one file over time, and what holds a run to the bytes that were submitted.
select set_config('search_path', format('%I, pg_temp', nspname), true)
from pg_class join pg_namespace on pg_namespace.oid = relnamespace where pg_class.oid = 'data_file'::regclass;

-- The same for two submissions that are one: of the same version of an object, or of the same bytes
-- where it has no versions, by the same submitter. Null where nothing says which bytes are meant:
-- such a submission is like no other. ('null' is the version that any put without versions replaces.)
create function parselog_submission(bucket text, key text, version_id text, sha256 bytea, submitted_by text)
returns bytea
language sql stable parallel safe
as $$
    select sha256(convert_to(case
        when version_id not in ('', 'null') then jsonb_build_array(bucket, key, version_id, submitted_by)
        when sha256 is not null then
            jsonb_build_array(bucket, key, version_id, submitted_by, encode(sha256, 'hex'))
    end::text, 'UTF8'))
$$;

-- The submissions with the same bucket, identity and owner are one file over time: the newest replaces
-- those before it. The state (tribe, territory) owns it; where none is known, its submitter does, so that
-- what may be two states' files are never taken for one.
alter table data_file
    add column sha256 bytea                     -- of its bytes; null until they are first read
        constraint data_file_sha256_is_32_bytes check (octet_length(sha256) = 32),
    add column identity text                    -- its key, or what its key would be if it had not to be its own
        constraint identity_is_like_a_key check (octet_length(identity) between 1 and 1024),
    add column owner text not null
        generated always as (coalesce('state ' || state, 'submitter ' || submitted_by)) stored,
    add column submission bytea;                -- parselog_submission, as it was submitted

-- The state was in a key when the submitter named it; it never is in an identity.
update data_file set
    identity = case
        when starts_with(key, format('data_files/%s/Q%s/%s/', fiscal_year, fiscal_quarter, state))
            then overlay(key placing format('data_files/%s/Q%s/', fiscal_year, fiscal_quarter)
                         from 1 for char_length(format('data_files/%s/Q%s/%s/', fiscal_year, fiscal_quarter, state)))
        else key
    end,
    submission = parselog_submission(bucket, key, version_id, null, submitted_by);

alter table data_file
    alter column identity set not null,
    drop constraint data_file_bucket_key_version_id_key;
create unique index data_file_submission on data_file (submission);
create index data_file_object on data_file (bucket, key, version_id);
create index data_file_over_time on data_file (bucket, identity, owner);

-- Queues one run for each of `files`, as one batch; returns the runs in the order of the files.
--
-- `files` is an array of objects: bucket, key, name, program, section, fiscal_year, fiscal_quarter,
-- and where there are any version_id, state, size_bytes, sha256 (in hexadecimal), submitter_emails,
-- identity (what makes it the same file as another submission; the key without one).
--
-- A version, or bytes without a version, that the same person submitted before is the same row again:
-- addresses replace those from before, and naming none keeps them. Another person's submission is a
-- row of its own, and so is one that names neither version nor hash. Saying something else about a
-- version than was said before is an error, as is naming an object twice.
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
    with said as (
        select * from rows from (jsonb_to_recordset(files) as (
            bucket text, key text, version_id text, name text, program text, section text,
            fiscal_year integer, fiscal_quarter smallint, state text, size_bytes bigint, sha256 text,
            submitter_emails text[], identity text)) with ordinality
    ), given as (
        select bucket, key, coalesce(version_id, '') as version_id, name, program, section, fiscal_year,
               fiscal_quarter, state, size_bytes, decode(sha256, 'hex') as sha256,
               coalesce(submitter_emails, '{}') as submitter_emails, coalesce(identity, key) as identity,
               ordinality
        from said
    ), known as (
        insert into data_file (bucket, key, version_id, name, program, section, fiscal_year,
                               fiscal_quarter, state, size_bytes, sha256, submitted_by, submitter_emails,
                               identity, submission)
        select bucket, key, version_id, name, program, section, fiscal_year, fiscal_quarter, state,
               size_bytes, sha256, enqueue_parse_many.submitted_by, submitter_emails, identity,
               parselog_submission(bucket, key, version_id, sha256, enqueue_parse_many.submitted_by)
        from given
        order by bucket, key, version_id
        on conflict (submission) do update
            set size_bytes = coalesce(data_file.size_bytes, excluded.size_bytes),
                sha256 = coalesce(data_file.sha256, excluded.sha256),
                state = coalesce(data_file.state, excluded.state),
                submitter_emails = case when excluded.submitter_emails = '{}'
                    then data_file.submitter_emails else excluded.submitter_emails end
        returning *
    )
    select array_agg(k.id order by g.ordinality), array_agg(parselog_uuid_v7()) into file_ids, run_ids
    from known k
    join given g on (g.bucket, g.key, g.version_id) = (k.bucket, k.key, k.version_id);

    -- Whoever submitted the version before.
    select format('%s/%s is known as %s %s %s Q%s%s%s already', k.bucket, k.key, k.program, k.section,
                  k.fiscal_year, k.fiscal_quarter, ' of ' || k.state, ' with ' || k.size_bytes || ' bytes')
    into complaint
    from jsonb_to_recordset(files) as g (bucket text, key text, version_id text, program text, section text,
                                         fiscal_year integer, fiscal_quarter smallint, state text,
                                         size_bytes bigint, sha256 text)
    join data_file k on (k.bucket, k.key, k.version_id) = (g.bucket, g.key, g.version_id)
        and k.version_id not in ('', 'null')
    where (g.program, g.section, g.fiscal_year, g.fiscal_quarter)
          is distinct from (k.program, k.section, k.fiscal_year, k.fiscal_quarter)
       or g.state <> k.state or g.size_bytes <> k.size_bytes or decode(g.sha256, 'hex') <> k.sha256
    limit 1;
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

-- The files that a selection names, in the order of their ids. Its keys, all of which must fit:
--   files            ids of data files
--   program, section, state, fiscal_year, fiscal_quarter
--   status           how the file's latest ended run came out: any of these run statuses or verdicts
--   since            submitted at this moment or later
--   every_version    true: also versions of a file that a later submission replaced; else the
--                    newest version of each file only, unless `files` names them
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
                          where (newer.bucket, newer.identity, newer.owner) = (f.bucket, f.identity, f.owner)
                            and newer.id > f.id))
    order by f.id;
end
$$;
