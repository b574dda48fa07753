-- A run whose log fell back, and one whose log was archived.
select enqueue_parse(bucket => 'b', key => 'step-10/one.txt', version_id => 'v1', name => 'one.txt',
                     program => 'fra', section => 'exits', fiscal_year => 2024, fiscal_quarter => 2);
select enqueue_parse(bucket => 'b', key => 'step-10/two.txt', version_id => 'v1', name => 'two.txt',
                     program => 'fra', section => 'exits', fiscal_year => 2024, fiscal_quarter => 2);
update log set state = 'fallback', error = 'refused', attempts = 3
from run where run.id = log.run_id and run.key = 'step-10/one.txt';
update log
set state = 'archived', uri = 's3://b/step-10/parsing_logs/two.log.gz', raw_bytes = 10, gzip_bytes = 5, lines = 2,
    events = '{}', dropped = 0, archived_at = now(), first_at = now(), last_at = now(),
    raw_sha256 = decode(repeat('ab', 32), 'hex'), gzip_sha256 = decode(repeat('cd', 32), 'hex')
from run where run.id = log.run_id and run.key = 'step-10/two.txt';
