-- A running log of a worker that keeps a remote tail: its beginning, and what is behind its cut. The log of
-- another machine that was lost.
update log set state = 'open', spool = '01a22034-0000-7000-8000-000000000001'
from parse_file_meta r where r.id = log.run_id and r.status = 'running' and log.state in ('none', 'open');
update log set taken_by = '01a22034-0000-7000-8000-000000000002', lost_after = 7
where id = (select id from log where state = 'archived' and run_id is not null order by id limit 1);
insert into log_piece (log_id, behind, at, raw_bytes, bytes)
select id, false, 0, 5, decode('1f8b', 'hex') from log where state = 'open' and run_id is not null;
insert into log_piece (log_id, behind, at, raw_bytes, bytes)
select id, true, 12, 5, decode('1f8b', 'hex') from log where state = 'open' and run_id is not null;
