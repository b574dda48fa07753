-- A call of the webhook that waits.
insert into notice (kind, run_id, address)
select 'result', (select id from parse_file_meta order by id limit 1), 'webhook';
