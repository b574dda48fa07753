-- A run whose problems are counted, and one that shares a kind and a scope with it.
insert into problem_kind (category, record_type, item, field, deprecated) values (2, 'T1', '12', 'FAMILY_TYPE', false);
insert into problem_scope (program, section, fiscal_year, fiscal_quarter, state, reparse_id)
values ('tanf', 'active', 2021, 1, 'WI', 0);
insert into problem_tally (run_id, day, scope_id, kinds, problems)
select r.id, '2026-11-28', s.id, array[0, k.id], array[3, 3]
from (select id from parse_file_meta order by id limit 2) r, problem_scope s, problem_kind k where k.id > 0;
insert into problem_day (day, scope_id, kind_id, runs, problems)
select day, scope_id, kind_id, count(*), sum(c.problems)
from problem_tally t cross join lateral unnest(t.kinds, t.problems) as c (kind_id, problems) group by 1, 2, 3;
