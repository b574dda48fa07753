-- An action of a foreign scheduler's task, and the segment that says so.
with segment as (
    insert into log (service, state, worker, first_at) values ('rocketry', 'open', 'host-1', now()) returning id
)
insert into run_action (task, action, worker, log_id, seq, record)
select 'do things()', 'run', 'rocketry', id, 1, '{"runtime": 1.5}' from segment;
