-- One version that two people submitted, two submissions of one key without versions, and one by its bytes.
select enqueue_parse(bucket => 'b', key => 'step-7/one.txt', version_id => 'v1', name => 'one.txt',
                     program => 'tanf', section => 'active', fiscal_year => 2024, fiscal_quarter => 1,
                     submitted_by => who, state => '55')
from unnest('{ann, bo}'::text[]) as w (who);
select enqueue_parse(bucket => 'b', key => 'step-7/two.txt', version_id => '', name => 'two.txt',
                     program => 'tanf', section => 'active', fiscal_year => 2024, fiscal_quarter => 1)
from generate_series(1, 2);
select * from enqueue_parse_many(jsonb_build_array(jsonb_build_object(
    'bucket', 'b', 'key', 'step-7/three.txt', 'name', 'three.txt', 'program', 'fra', 'section', 'exits',
    'fiscal_year', 2024, 'fiscal_quarter', 1, 'sha256', repeat('ab', 32), 'identity', 'step-7/three')));
