-- What readers on other machines ask of archives that still grow: the store gives no part of an upload that goes on, so
-- the run's worker answers with bytes of its file. None of it needs to survive, and none of it is in a backup.
select set_config('search_path', format('%I, pg_temp', nspname), true)
from pg_class join pg_namespace on pg_namespace.oid = relnamespace where pg_class.oid = 'data_file'::regclass;

create unlogged table log_read (
    id bigint generated always as identity primary key,
    log_id uuid not null,
    at bigint not null,                         -- the first byte, in the archive
    bytes integer not null,
    asked_at timestamptz not null default now(),
    answer bytea,
    refusal text,                               -- why there is no answer
    constraint read_not_empty check (at >= 0 and bytes > 0),
    constraint read_is_answered_once check (answer is null or refusal is null)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
alter table log_read alter column answer set storage external;  -- it is compressed already

-- They go with the pieces.
create or replace function log_drops_its_pieces() returns trigger
language plpgsql set search_path from current
as $$
begin
    delete from log_piece where log_id = new.id;
    delete from log_part where log_id = new.id;
    delete from log_upload where log_id = new.id;
    delete from log_read where log_id = new.id;
    return null;
end
$$;
