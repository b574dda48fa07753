-- A file version that is submitted twice, for other people.
select enqueue_parse(bucket => 'b', key => 'step-6/one.txt', version_id => 'v1', name => 'one.txt',
                     program => 'tanf', section => 'active', fiscal_year => 2024, fiscal_quarter => 1,
                     submitted_by => 'ann', submitter_emails => emails)
from unnest('{ann@example.org, bo@example.org}'::text[]) as e (email), lateral (select array[email]) as l (emails);
select * from enqueue_reparse('{"fiscal_year": 2024}', force => true);
