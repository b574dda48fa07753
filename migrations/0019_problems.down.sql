select set_config('search_path', format('%I, pg_temp', nspname), true)
from pg_class join pg_namespace on pg_namespace.oid = relnamespace where pg_class.oid = 'data_file'::regclass;

drop trigger takes_its_problems on log;
drop function log_takes_its_problems();
drop function count_problems(uuid, jsonb);
drop function uncount_problems(uuid);
drop index log_uncounted;
alter table log drop column is_counted;
drop table problem_tally, problem_day, problem_scope, problem_kind;
