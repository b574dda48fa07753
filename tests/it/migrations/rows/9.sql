-- A run whose parser said nothing about the submission, and counted no records.
select enqueue_parse(bucket => 'b', key => 'step-9/one.txt', version_id => 'v1', name => 'one.txt',
                     program => 'fra', section => 'exits', fiscal_year => 2024, fiscal_quarter => 2);
update parse_file_meta r
set status = 'running', worker = 'w', lease_token = gen_random_uuid(), started_at = now(),
    heartbeat_at = now(), lease_until = now() + interval '1 hour'
from data_file f where f.id = r.data_file_id and f.key = 'step-9/one.txt';
update parse_file_meta r
set status = 'success', finished_at = now(), lease_until = null, summary_status = 'No Verdict',
    created_by_type = '{}', error_counts = '{}', errors_by_month = '{}', error_count = 0
from data_file f where f.id = r.data_file_id and f.key = 'step-9/one.txt';
