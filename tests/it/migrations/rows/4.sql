-- A running log that somebody follows.
insert into log_follow (run_id, wanted_until, shipped_to)
select id, now() + interval '1 minute', 5 from parse_file_meta where status = 'running';
insert into log_piece (run_id, at, bytes) select run_id, 0, 'line' || E'\\012'::bytea from log_follow;
