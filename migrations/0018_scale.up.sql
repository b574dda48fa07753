-- What keeps the work on a run, and the lists of runs, as fast with ten million runs as with ten.
--
-- On tables that large, `store::indexes` has added the column and built the indexes already, without locking anything
-- (its list is this one). What is left to do here takes no time, but for the first count, which locks nothing: so it
-- comes first. `create index if not exists` would lock the table even if the index exists.
select set_config('search_path', format('%I, pg_temp', nspname), true)
from pg_class join pg_namespace on pg_namespace.oid = relnamespace where pg_class.oid = 'data_file'::regclass;

-- How many runs ended in each status up to a moment. A run that has ended stays as it is, so only those after that
-- moment have to be counted anew. Ends become visible a little late, so the moment is a while ago.
create table run_tally (
    only_one boolean primary key default true check (only_one),
    through timestamptz not null,
    runs jsonb not null check (jsonb_typeof(runs) = 'object')   -- {"success": 10}
);
insert into run_tally (through, runs)
select now() - interval '10 minutes', coalesce(jsonb_object_agg(status, runs), '{}')
from (select status, count(*) as runs from parse_file_meta
      where finished_at <= now() - interval '10 minutes' group by status) as ended;

-- What file a run is of, `tanf/active`, so that a worker finds the runs that it has a parser for at the head of a
-- queue of their own. Runs that were queued before have none.
alter table parse_file_meta add column if not exists file_kind text;

do $$
declare
    wanted record;
begin
    for wanted in select * from (values
        ('parse_file_meta_waiting', 'parse_file_meta (file_kind, priority, run_after, id) where status = ''queued'''),
        ('parse_file_meta_unended', 'parse_file_meta (batch_id) where finished_at is null'),
        ('parse_file_meta_status', 'parse_file_meta (status, id) where status not in (''queued'', ''running'', ''success'')'),
        ('parse_file_meta_verdict', 'parse_file_meta (summary_status, id) where summary_status is not null'),
        ('parse_meta_requested_by', 'parse_meta (requested_by, id)'),
        ('parse_meta_deadline', 'parse_meta (deadline) where finished_at is null'),
        ('log_state', 'log (state, run_id) where state <> ''archived'''),
        ('data_file_section', 'data_file (section, id)'),
        ('data_file_state', 'data_file (state, id)'),
        ('data_file_year', 'data_file (fiscal_year, fiscal_quarter, id)')
    ) as list (name, definition) loop
        if to_regclass(wanted.name) is null then
            execute format('create index %I on %s', wanted.name, wanted.definition);
        end if;
    end loop;
end $$;

-- The statistics are those of the last analysis, when the queue may have been empty. By them every index of what is
-- queued or runs looks equally good for what is asked, and a claim came to go through the whole queue for each run of
-- it. So there is one index for each question now.
drop index parse_file_meta_claim, parse_file_meta_open;
-- The same as another one.
drop index parse_file_meta_ended;

create function parse_file_meta_file_kind() returns trigger
language plpgsql set search_path from current
as $$
begin
    new.file_kind := (select program || '/' || section from data_file where id = new.data_file_id);
    return new;
end
$$;
create trigger knows_its_kind before insert on parse_file_meta
    for each row execute function parse_file_meta_file_kind();

-- By the server's defaults a table of ten million rows is vacuumed after two million changes, and the plans for its
-- newest rows are those of months ago.
alter table parse_file_meta set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.02,
                                 autovacuum_analyze_scale_factor = 0.01);
alter table log set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.02,
                     autovacuum_analyze_scale_factor = 0.01);
