-- Fills the tables as five years of use would: `scale.runs` runs of a tenth as many files, four actions and three
-- audit entries of each run, and `scale.queued` runs that wait. The newest runs and files are those of today.
--
-- It writes past triggers and foreign keys, as a superuser may, so the rows themselves have to be right; the checks
-- of the tables still hold for them. Indexes are made at the end, which takes a tenth of the time.
set session_replication_role = replica;
set synchronous_commit = off;
set maintenance_work_mem = '256MB';
set client_min_messages = warning;

create temporary table set_aside as
select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition
from pg_index i join pg_class t on t.oid = i.indrelid
where t.relnamespace = current_schema()::regnamespace and not i.indisunique
  and t.relname in ('data_file', 'parse_meta', 'parse_file_meta', 'log', 'run_action', 'log_entry', 'notice');
do $$ declare one text; begin
    for one in select name from set_aside loop execute 'drop index ' || one; end loop;
end $$;

-- Run `i` of `runs`, evenly over five years: four of five are submissions, the others belong to reparses of `size`.
create temporary table plan as
select current_setting('scale.runs')::bigint as runs, current_setting('scale.runs')::bigint / 10 as files,
       greatest(least(5000, current_setting('scale.runs')::bigint / 500), 1) as size,
       now() - interval '5 years' as began, interval '5 years' / current_setting('scale.runs')::bigint as pace;

create function pg_temp.id_at(at timestamptz, i bigint) returns uuid language sql immutable as $$
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || left(md5(i::text), 3)
            || '8' || substr(md5(i::text), 4, 15))::uuid
$$;

-- A file is submitted four times on average, so it has four rows: one quarter after the other.
insert into data_file (id, bucket, key, version_id, name, program, section, fiscal_year, fiscal_quarter, state,
                       size_bytes, sha256, submitted_by, submitter_emails, created_at, identity, submission)
overriding system value
select n, 'submissions', format('data_files/%s/Q%s/%s/%s', year, quarter, state, name), 'v' || n, name, program, section,
       year, quarter, state, 5000 + n % 9000000, sha256(int8send(n)), 'user' || n % 300,
       array['user' || n % 300 || '@example.org'], at, format('data_files/%s/Q%s/%s', year, quarter, name),
       sha256(int8send(-n))
from (
    select n, at, extract(year from at)::integer as year, extract(quarter from at)::integer as quarter,
           (array['tanf', 'tanf', 'tanf', 'tanf', 'tanf', 'tanf', 'ssp', 'ssp', 'tribal', 'fra'])[1 + n % 10] as program,
           (array['active', 'closed', 'aggregate', 'stratum'])[1 + n / 10 % 4] as section,
           lpad((1 + n % 54)::text, 2, '0') as state, format('report-%s.txt', n / 4 % (files / 8 + 1)) as name
    from plan, generate_series(1, files) as n, lateral (select began + pace * 10 * n as at) as moment
) as f;

create temporary table made as
select i, began + pace * i as at, pg_temp.id_at(began + pace * i, i) as id, is_reparse,
       case when is_reparse then i / 5 / size + 1 else (runs / 5 / size + 1) + i end as batch,
       case when is_reparse
           then 1 + (i / 5 % size) * (known / size) + (i / 5 / size) % greatest(known / size, 1)
           else least(i / 10 + 1, files)
       end as file,
       (i * 7919) % 1000 as dice
from plan, generate_series(1, runs) as i,
     lateral (select i % 5 = 0 and i > runs / 20 as is_reparse,
                     greatest(i / 5 / size * size * 5 / 10, size) as known) as kind;
create index on made (batch);
analyze made;

insert into parse_meta (id, kind, requested_by, selection, created_at, finished_at, deadline)
overriding system value
select batch, case when bool_or(is_reparse) then 'reparse' else 'submission' end, 'user' || batch % 300,
       case when bool_or(is_reparse) then '{"all": true}'::jsonb end, min(at), max(at) + interval '1 minute',
       case when bool_or(is_reparse) then max(at) + interval '1 day' end
from made group by batch;

-- Of a thousand runs 930 succeed. Those of the first tenth have no log any more, and some logs wait for the store.
create temporary table outcome as
select *, case when dice < 600 then 'Accepted' when dice < 850 then 'Accepted with Errors'
               when dice < 900 then 'Partially Accepted with Errors' when dice < 930 then 'Rejected' end as verdict,
       case when dice < 930 then 'success' when dice < 960 then 'fail' when dice < 970 then 'terminate'
            when dice < 980 then 'inaction' else 'crash' end as status,
       case when dice between 970 and 979 then 'none' when i < runs / 10 then 'pruned'
            when i % 40009 = 0 then 'fallback' when i % 90001 = 0 then 'lost' else 'archived' end as log_state
from made, plan;

insert into parse_file_meta (id, data_file_id, batch_id, kind, status, queued_at, run_after, started_at, finished_at,
                             deadline, worker, lease_token, heartbeat_at, failure, summary_status, records_in_file,
                             records_created, created_by_type, error_counts, errors_by_month, error_count, cases,
                             logs_uri)
select id, file, batch, case when is_reparse then 'reparse' else 'submission' end, status, at, at,
       case when status <> 'inaction' then at + interval '1 second' end,
       at + interval '3 seconds' + interval '1 second' * (i % 97),
       case when status <> 'inaction' then at + interval '1 hour' end,
       case when status <> 'inaction' then 'worker-' || i % 4 end, case when status <> 'inaction' then id end,
       case when status <> 'inaction' then at + interval '2 seconds' end,
       case when verdict is null then (array['the worker died', 'no such file', 'stopped by ann'])[1 + i % 3] end, verdict,
       case when verdict is not null then 1000 + i % 5000 end, case when verdict is not null then 900 + i % 5000 end,
       case when verdict is not null then '{"T1": 400, "T2": 300, "T3": 200}'::jsonb end,
       case when verdict is not null then jsonb_build_object('2', i % 7, '4', i % 3) end,
       case when verdict is not null then jsonb_build_object('202010', jsonb_build_object('2', i % 7)) end,
       case when verdict is not null then i % 7 + i % 3 end,
       case when verdict is not null then '{"rejected": 0, "months": {"202010": {"accepted_without_errors": 40, "accepted_with_errors": 3}}}'::jsonb end,
       case log_state when 'archived' then format('s3://submissions/parsing_logs/parse-datafile-%s-%s.log.gz', file, id) end
from outcome order by i;

insert into log (id, run_id, state, uri, raw_bytes, gzip_bytes, lines, events, dropped, raw_sha256, gzip_sha256,
                 first_at, last_at, archived_at, attempts, error)
select id, id, log_state,
       case log_state when 'archived' then format('s3://submissions/parsing_logs/parse-datafile-%s-%s.log.gz', file, id) end,
       case when log_state <> 'none' then 20000 + i % 90000 end,
       case when log_state in ('archived', 'pruned') then 2000 + i % 9000 end,
       case when log_state <> 'none' then 90 + i % 400 end,
       case when log_state <> 'none' then jsonb_build_object('INFO', 80, 'ERROR', i % 9) end,
       case when log_state <> 'none' then 0 end,
       case when log_state in ('archived', 'pruned') then sha256(int8send(i)) end,
       case when log_state in ('archived', 'pruned') then sha256(int8send(-i)) end,
       case when log_state <> 'none' then at + interval '1 second' end,
       case when log_state <> 'none' then at + interval '3 seconds' end,
       case when log_state in ('archived', 'pruned') then at + interval '4 seconds' end,
       case when log_state in ('fallback', 'lost') then 1 else 0 end,
       case when log_state in ('fallback', 'lost') then 'the store does not answer' end
from outcome order by i;

-- Segments of twenty streams.
insert into log (service, state, uri, raw_bytes, gzip_bytes, lines, events, dropped, raw_sha256, gzip_sha256, first_at,
                 last_at, archived_at)
select 'service-' || n % 20, 'archived', format('s3://submissions/service_logs/%s.log.gz', n), 1000000, 90000, 5000,
       '{"INFO": 4990, "ERROR": 10}', 0, sha256(int8send(n)), sha256(int8send(-n)), began + pace * 100 * n,
       began + pace * 100 * (n + 1), began + pace * 100 * (n + 1)
from plan, generate_series(1, runs / 100) as n;

insert into run_action (run_id, task, action, at, worker, detail)
select case when part < 2 then id end,
       case when part >= 2 then 'beat.task_' || i % 50 when is_reparse then 'reparse' else 'parse' end,
       case when part = 0 or part = 2 then 'run' when part = 1 then status else 'success' end,
       at + interval '1 second' * (1 + part), 'worker-' || i % 4,
       case part when 0 then 'attempt 1 of 3' when 1 then verdict end
from outcome, generate_series(0, 3) as part order by i, part;

insert into log_entry (at, actor, entry, data_file_id, batch_id, run_id, detail)
select at + interval '1 second' * part, case part when 0 then 'user' || batch % 300 else 'parselog' end,
       (array['submitted', 'log-sealed', 'archived'])[1 + part], file, batch, id,
       case part when 2 then format('s3://submissions/parsing_logs/parse-datafile-%s-%s.log.gz', file, id) end
from outcome, generate_series(0, 2) as part order by i, part;

insert into notice (kind, run_id, address, state, created_at, sent_at)
select 'result', id, 'user' || batch % 300 || '@example.org', 'sent', at, at + interval '1 minute'
from outcome where i % 2 = 0 order by i;
insert into notice_watch (since, through) select began, now() from plan;

do $$ declare one text; begin
    for one in select definition from set_aside loop execute one; end loop;
end $$;

select setval(pg_get_serial_sequence('data_file', 'id'), (select max(id) from data_file)),
       setval(pg_get_serial_sequence('parse_meta', 'id'), (select max(id) from parse_meta));
drop table set_aside, made, outcome;
set session_replication_role = origin;
