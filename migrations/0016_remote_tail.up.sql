-- The remote tail: what a worker's spool has of running logs and the object store has not yet, kept where
-- another machine can reach it. Readers on other machines follow a log through the same pieces.
select set_config('search_path', format('%I, pg_temp', nspname), true)
from pg_class join pg_namespace on pg_namespace.oid = relnamespace where pg_class.oid = 'data_file'::regclass;

-- Nothing of the old table had to survive; this one survives a crash of the server.
drop table log_piece;
alter table log_follow drop column shipped_to;
create table log_piece (
    log_id uuid not null references log,
    behind boolean not null,                    -- of what a log past its cap holds behind its cut
    at bigint not null,                         -- its first byte in the log; behind the cut, its first event
    raw_bytes integer not null,
    bytes bytea not null,                       -- whole lines, as one gzip member
    primary key (log_id, behind, at),
    constraint piece_not_empty check (at >= 0 and raw_bytes > 0)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
alter table log_piece alter column bytes set storage external;  -- it is compressed already

alter table log
    add column spool uuid,                      -- which folder it lies in, if its machine keeps a remote tail
    add column taken_by uuid,                   -- the spool whose worker composes it, or composed it, of its pieces
    add column lost_after bigint,               -- composed: the event behind which the rest was lost
    add constraint lost_with_its_machine check (lost_after is null or (taken_by is not null and lost_after >= 0));

-- Those that may have to be taken over: never many, since each leaves it with its archive.
create index log_on_its_machine on log (id)
    where spool is not null and state in ('none', 'open', 'sealed', 'fallback', 'lost');

-- Which spool a worker works on: while one is alive, the logs in that spool are not lost.
alter table worker add column spool uuid;

-- The pieces of a log go in the transaction that says that its archive is confirmed, or that it was let go.
create function log_drops_its_pieces() returns trigger
language plpgsql set search_path from current
as $$
begin
    delete from log_piece where log_id = new.id;
    return null;
end
$$;
create trigger drops_its_pieces after update of state on log
    for each row when (new.state in ('archived', 'pruned') and new.state is distinct from old.state)
    execute function log_drops_its_pieces();
