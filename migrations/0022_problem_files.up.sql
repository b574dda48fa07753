-- Which Parquet file has the problems of which runs, and which file has to be written again: each has those of one
-- month, program, fiscal year and quarter. Workers write it from what is counted, whole each time, and never two at once.
select set_config('search_path', format('%I, pg_temp', nspname), true)
from pg_class join pg_namespace on pg_namespace.oid = relnamespace where pg_class.oid = 'data_file'::regclass;

create table problem_file (
    id integer generated always as identity primary key,
    program text not null,
    fiscal_year integer not null,
    fiscal_quarter smallint not null,
    month date not null,                        -- its first day, in UTC, in which the runs began
    changes bigint not null default 0,          -- how often it was found changed
    due_at timestamptz,                         -- when to write it again; null while nothing changed
    tried_at timestamptz,                       -- when somebody last began to
    lease_token uuid,                           -- of who is writing it, or died meanwhile
    lease_until timestamptz,
    uri text,                                   -- where it is; null as long as there is none
    runs bigint,
    bytes bigint,
    written_at timestamptz,
    took interval,                              -- the last time
    failures integer not null default 0,        -- in a row
    failure text,                               -- the last one, until it is written
    unique (program, fiscal_year, fiscal_quarter, month),
    constraint month_begins check (extract(day from month) = 1),
    constraint lease_as_a_whole check ((lease_token is null) = (lease_until is null)),
    constraint failure_is_counted check ((failure is null) = (failures = 0))
);
create index problem_file_due on problem_file (due_at) where due_at is not null;

-- The runs of each file, in the order of the file: it is read along this index, page by page.
create table problem_file_run (
    file_id integer not null references problem_file,
    run_id uuid not null,
    primary key (file_id, run_id)
);

-- What changed since anybody looked: one row for each change, so that those who count never wait for each other.
create table problem_change (
    id bigint generated always as identity primary key,
    file_id integer not null references problem_file
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
create index problem_change_file on problem_change (file_id);

-- The file of the runs of a scope that began on a day; it has a row from now on.
create function problem_file_of(scope integer, run_day date) returns integer
language plpgsql set search_path from current
as $$
declare
    about problem_scope;
    file integer;
begin
    select * into strict about from problem_scope where id = scope;
    for turn in 1..2 loop
        select id into file from problem_file
        where (program, fiscal_year, fiscal_quarter, month)
              = (about.program, about.fiscal_year, about.fiscal_quarter, date_trunc('month', run_day)::date);
        exit when found;
        -- If another makes it at the same moment, this waits, and finds it then.
        insert into problem_file (program, fiscal_year, fiscal_quarter, month)
        values (about.program, about.fiscal_year, about.fiscal_quarter, date_trunc('month', run_day)::date)
        on conflict do nothing;
    end loop;
    return file;
end
$$;

-- Whoever counts a run, or takes it away, changes its file in the same transaction.
create function problem_tally_changes_its_file() returns trigger
language plpgsql set search_path from current
as $$
declare
    file integer;
begin
    if tg_op = 'INSERT' then
        file := problem_file_of(new.scope_id, new.day);
        insert into problem_file_run (file_id, run_id) values (file, new.run_id) on conflict do nothing;
    else
        file := problem_file_of(old.scope_id, old.day);
        delete from problem_file_run where file_id = file and run_id = old.run_id;
    end if;
    insert into problem_change (file_id) values (file);
    return null;
end
$$;
create trigger changes_its_file after insert or delete on problem_tally
    for each row execute function problem_tally_changes_its_file();

-- Takes note of up to `most` changes, of all files or of one: what changed is due after `age`, or later if writing it
-- takes long, so that it takes a twentieth of the time at most. Returns how many changes it took note of.
create function collect_problem_changes(most integer, age interval, only_file integer) returns integer
language plpgsql set search_path from current
as $$
declare
    changed integer[];
    collected integer;
begin
    if only_file is not null then
        -- Whoever takes note of them at this moment is waited for.
        perform 1 from problem_change where file_id = only_file for update;
    end if;
    with gone as (
        delete from problem_change where id in (
            select id from problem_change where only_file is null or file_id = only_file
            order by id limit most for update skip locked)
        returning file_id
    )
    select coalesce(array_agg(distinct file_id), '{}'), count(*) into changed, collected from gone;
    -- In one order, so that two at once do not wait for each other.
    perform 1 from problem_file where id = any (changed) order by id for no key update;
    update problem_file
    set changes = changes + 1, due_at = coalesce(due_at, greatest(now() + age, written_at + 20 * took))
    where id = any (changed);
    return collected;
end
$$;

-- Finds the files of the next `most` runs behind `behind` that were counted before there were files. Returns the last of
-- them, or null at the end.
create function file_counted_runs(behind uuid, most integer) returns uuid
language plpgsql set search_path from current
as $$
declare
    reached uuid;
begin
    with counted as (
        -- Whoever takes one away waits, and takes it out of its file then.
        select run_id, scope_id, day from problem_tally where behind is null or run_id > behind
        order by run_id limit most for key share
    ), filed as (
        insert into problem_file_run (file_id, run_id)
        select problem_file_of(scope_id, day), run_id from counted order by run_id
        on conflict do nothing returning file_id
    ), changed as (
        insert into problem_change (file_id) select distinct file_id from filed
    )
    select run_id into reached from counted order by run_id desc limit 1;
    return reached;
end
$$;
