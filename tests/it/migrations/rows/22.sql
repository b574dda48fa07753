-- The file of a run whose problems are counted: written once, changed since, and given up the last time.
insert into problem_file (program, fiscal_year, fiscal_quarter, month, changes, due_at, tried_at, uri, runs, bytes,
                          written_at, took, failures, failure)
values ('tanf', 2021, 1, '2026-11-01', 3, '2026-11-28 12:10Z', '2026-11-28 12:09Z',
        's3://files/problems/program=tanf/year=2021/quarter=1/2026-11.parquet', 1, 1500,
        '2026-11-28 12:00Z', '80 milliseconds', 1, 'access denied');
insert into problem_file_run (file_id, run_id) select f.id, t.run_id from problem_file f, problem_tally t;
insert into problem_change (file_id) select id from problem_file;
