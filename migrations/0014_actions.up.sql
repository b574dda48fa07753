-- Actions of the tasks of foreign schedulers: each is a record of a stream, and its log and number keep it from
-- being written twice. `worker` is the service. A task may have any name then.
select set_config('search_path', format('%I, pg_temp', nspname), true)
from pg_class join pg_namespace on pg_namespace.oid = relnamespace where pg_class.oid = 'data_file'::regclass;

alter table run_action
    add column log_id uuid references log,
    add column seq bigint,
    add column record jsonb,                    -- what the scheduler said beside task and action
    drop constraint run_action_task_check,
    add constraint task_is_a_code check (log_id is not null or task ~ '^[a-z][a-z0-9_.-]*$'),
    add constraint record_of_a_log check (num_nonnulls(log_id, seq) in (0, 2)),
    add constraint action_of_a_run_or_a_log check (num_nonnulls(run_id, log_id) < 2);
create unique index run_action_of_log on run_action (log_id, seq, action) where log_id is not null;
