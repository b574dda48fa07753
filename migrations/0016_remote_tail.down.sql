drop trigger drops_its_pieces on log;
drop function log_drops_its_pieces;
alter table worker drop column spool;
alter table log drop constraint lost_with_its_machine, drop column spool, drop column taken_by, drop column lost_after;

drop table log_piece;
alter table log_follow add column shipped_to bigint;
create unlogged table log_piece (
    run_id uuid not null references log_follow on delete cascade,
    at bigint not null,
    bytes bytea not null,
    primary key (run_id, at)
);
