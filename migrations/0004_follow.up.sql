-- Following the log of a running run from another machine: a reader says that it wants it, and the
-- run's worker ships what is new in pieces. Nothing is shipped that nobody wants, and all of it is
-- gone soon after the last reader; the log itself is elsewhere, so none of it needs to survive.
create unlogged table log_follow (
    run_id uuid primary key references parse_file_meta,
    wanted_until timestamptz not null,
    shipped_to bigint                           -- in bytes of the log; null before the first piece
);
create unlogged table log_piece (
    run_id uuid not null references log_follow on delete cascade,
    at bigint not null,                         -- its first byte in the log
    bytes bytea not null,                       -- whole lines
    primary key (run_id, at)
);
