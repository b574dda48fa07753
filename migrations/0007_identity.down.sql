-- A version that more than one person submitted becomes one file again, and so do the submissions of one
-- key without versions: their runs go to the first of them. Of several running ones all but one must end first.
select set_config('search_path', format('%I, pg_temp', nspname), true)
from pg_class join pg_namespace on pg_namespace.oid = relnamespace where pg_class.oid = 'data_file'::regclass;

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

set local parselog.rewrite_history = 'on';
alter table parse_file_meta disable trigger goes_forward;
create temporary table merged on commit drop as
    select id, first_value(id) over (partition by bucket, key, version_id order by id) as first from data_file;
update parse_file_meta r set data_file_id = m.first from merged m where m.id = r.data_file_id and m.id <> m.first;
update log_entry e set data_file_id = m.first from merged m where m.id = e.data_file_id and m.id <> m.first;
delete from data_file f using merged m where m.id = f.id and m.id <> m.first;
alter table parse_file_meta enable trigger goes_forward;

drop index data_file_over_time;
drop index data_file_object;
drop index data_file_submission;
alter table data_file
    drop column submission,
    drop column owner,
    drop column identity,
    drop column sha256,
    add constraint data_file_bucket_key_version_id_key unique (bucket, key, version_id);
drop function parselog_submission(text, text, text, bytea, text);
