-- The files that are in the store stay there.
select set_config('search_path', format('%I, pg_temp', nspname), true)
from pg_class join pg_namespace on pg_namespace.oid = relnamespace where pg_class.oid = 'data_file'::regclass;

drop trigger changes_its_file on problem_tally;
drop function problem_tally_changes_its_file();
drop function file_counted_runs(uuid, integer);
drop function collect_problem_changes(integer, interval, integer);
drop function problem_file_of(integer, date);
drop table problem_change;
drop table problem_file_run;
drop table problem_file;
