set local parselog.rewrite_history = 'on';
delete from run_action where log_id is not null;
drop index run_action_of_log;
alter table run_action
    drop constraint action_of_a_run_or_a_log,
    drop constraint record_of_a_log,
    drop constraint task_is_a_code,
    drop column record,
    drop column seq,
    drop column log_id,
    add constraint run_action_task_check check (task ~ '^[a-z][a-z0-9_.-]*$');
