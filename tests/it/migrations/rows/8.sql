-- A run that says what came of its cases.
select enqueue_parse(bucket => 'b', key => 'step-8/one.txt', version_id => 'v1', name => 'one.txt',
                     program => 'tanf', section => 'active', fiscal_year => 2024, fiscal_quarter => 1);
update parse_file_meta r
set status = 'running', worker = 'w', lease_token = gen_random_uuid(), started_at = now(),
    heartbeat_at = now(), lease_until = now() + interval '1 hour'
from data_file f where f.id = r.data_file_id and f.key = 'step-8/one.txt';
update parse_file_meta r
set status = 'success', lease_until = null, finished_at = now(), summary_status = 'Accepted',
    records_in_file = 5, records_created = 5, created_by_type = '{"T1": 5}', error_counts = '{}',
    errors_by_month = '{}', error_count = 0,
    cases = '{"rejected": 0, "months": {"202310": {"accepted_without_errors": 5, "accepted_with_errors": 0}}}'
from data_file f where f.id = r.data_file_id and f.key = 'step-8/one.txt';
