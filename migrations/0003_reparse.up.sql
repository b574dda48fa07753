-- How files are parsed once more. As with a submission, one function does all of it in the caller's
-- transaction, so that a backend in any language can ask for a reparse.

-- The files that a selection names, in the order of their ids. Its keys, all of which must fit:
--   files            ids of data files
--   program, section, state, fiscal_year, fiscal_quarter
--   status           how the file's latest ended run came out: any of these run statuses or verdicts
--   since            submitted at this moment or later
--   every_version    true: also versions of an object that a later submission replaced; else the
--                    newest version of each object only, unless `files` names them
--   all              true: nothing else is asked for
create function reparse_files(selection jsonb) returns setof bigint
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
create function enqueue_reparse(
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
