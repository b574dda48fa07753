-- How far the archive of a running log is up, and what it takes to go on with it: whoever takes over the log of a
-- machine that is gone completes its upload, without reading what is up.
select set_config('search_path', format('%I, pg_temp', nspname), true)
from pg_class join pg_namespace on pg_namespace.oid = relnamespace where pg_class.oid = 'data_file'::regclass;

create table log_upload (
    log_id uuid primary key references log,
    upload text not null,                       -- the store's own name for it; its key is the log's
    parts integer not null,                     -- that many are up, and what follows is the state behind them
    raw_bytes bigint not null,                  -- up to the end of the member in which the last part ends
    gzip_bytes bigint not null,
    lines bigint not null,
    members bigint not null,
    latest bigint,                              -- the latest time of a line, in microseconds since 1970
    raw_sha256 bytea not null,                  -- SHA-256 of what came before, not finished
    gzip_sha256 bytea not null,
    events jsonb not null,                      -- by level
    last_event bigint not null,
    has_cut boolean not null,
    problems jsonb,                             -- by kind; null where they can't be counted
    rest bytea not null,                        -- the archive behind the last part, up to the end of that member
    constraint upload_has_parts check (parts > 0 and raw_bytes > 0 and gzip_bytes > 0)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
alter table log_upload alter column rest set storage external;  -- it is compressed already

create table log_part (
    log_id uuid not null references log,
    number integer not null,
    bytes bigint not null,
    sha256 bytea not null,
    entries bytea not null,                     -- what the index of the archive gained with it
    primary key (log_id, number),
    constraint part_not_empty check (number > 0 and bytes > 0)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- They go with the pieces.
create or replace function log_drops_its_pieces() returns trigger
language plpgsql set search_path from current
as $$
begin
    delete from log_piece where log_id = new.id;
    delete from log_part where log_id = new.id;
    delete from log_upload where log_id = new.id;
    return null;
end
$$;
