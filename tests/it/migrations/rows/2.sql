-- A submission by each of the functions, one of them claimed.
select enqueue_parse(bucket => 'b', key => 'step-2/one.txt', version_id => '', name => 'one.txt',
                     program => 'fra', section => 'exits', fiscal_year => 2024, fiscal_quarter => 2,
                     submitted_by => 'ann', submitter_emails => '{ann@example.org}');
select * from enqueue_parse_many('[
    {"bucket": "b", "key": "step-2/two.txt", "version_id": "v1", "name": "two.txt", "program": "ssp",
     "section": "closed", "fiscal_year": 2022, "fiscal_quarter": 4},
    {"bucket": "b", "key": "step-2/two.txt", "version_id": "v2", "name": "two.txt", "program": "ssp",
     "section": "closed", "fiscal_year": 2022, "fiscal_quarter": 4, "state": "MN", "size_bytes": 7}]');

update parse_file_meta r
set status = 'running', worker = 'w', lease_token = gen_random_uuid(), started_at = now(),
    heartbeat_at = now(), lease_until = now() + interval '1 hour'
from data_file f where f.id = r.data_file_id and f.key = 'step-2/one.txt';
