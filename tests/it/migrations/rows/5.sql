-- A mail in each state.
insert into notice (kind, run_id, address, state, sent_at, last_error)
select 'result', (select id from parse_file_meta order by id limit 1), state || '@example.org', state,
       case state when 'sent' then now() end, case state when 'failed' then 'refused' end
from unnest('{queued, sending, sent, failed, dismissed}'::text[]) as s (state);
insert into notice (kind, batch_id, address) select 'batch-overdue', min(id), 'admin@example.org' from parse_meta;
insert into notice_watch default values;
