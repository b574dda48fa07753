-- Runs in every state, by hand: step 1 has no function for it.
insert into data_file (bucket, key, version_id, name, program, section, fiscal_year, fiscal_quarter,
                       state, size_bytes, submitted_by, submitter_emails)
select 'b', 'step-1/' || name, 'v1', name, 'tanf', 'active', 2021, 1, 'WI', 1000, 'ann',
       '{ann@example.org, "no address"}'
from unnest('{queued.txt, running.txt, done.txt, failed.txt}'::text[]) as f (name);

with batch as (
    insert into parse_meta (kind, requested_by, reason) values ('submission', 'ann', 'the first') returning id
)
insert into parse_file_meta (data_file_id, batch_id, kind)
select f.id, batch.id, 'submission' from data_file f, batch;

insert into parse_meta (kind, requested_by, reason, selection, finished_at)
values ('reparse', 'bo', 'new rules', '{"all": true}', now());

update parse_file_meta r
set status = 'running', worker = 'w', lease_token = gen_random_uuid(), started_at = now(),
    heartbeat_at = now(), lease_until = now() + interval '1 hour', deadline = now() + interval '2 hours'
from data_file f where f.id = r.data_file_id and f.name <> 'queued.txt';

update parse_file_meta r
set status = 'success', finished_at = now(), lease_until = null, summary_status = 'Accepted with Errors',
    records_in_file = 5, records_created = 4, created_by_type = '{"T1": 4}', error_counts = '{"2": 3}',
    errors_by_month = '{"202010": {"2": 3}}', error_count = 3, first_error_record = 3,
    first_error = 'item 4 must be a number', log_state = 'archived',
    logs_uri = 's3://b/step-1/parsing_logs/done.log.gz', log_raw_bytes = 100, log_gzip_bytes = 50,
    log_lines = 5, log_events = '{"INFO": 3}', log_dropped = 0, log_archived_at = now(),
    log_raw_sha256 = decode(repeat('ab', 32), 'hex'), log_gzip_sha256 = decode(repeat('cd', 32), 'hex')
from data_file f where f.id = r.data_file_id and f.name = 'done.txt';

update parse_file_meta r
set status = 'fail', finished_at = now(), lease_until = null, failure = 'the parser panicked',
    log_state = 'fallback', archive_error = 'refused', archive_attempts = 2
from data_file f where f.id = r.data_file_id and f.name = 'failed.txt';

insert into log_entry (actor, entry, run_id) select 'ann', 'viewed', id from parse_file_meta;
