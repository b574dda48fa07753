drop index one_mail_per_condition;
delete from notice where kind = 'stream-errors';
create unique index one_mail_per_condition on notice (kind, coalesce(run_id::text, batch_id::text), address);
alter table notice drop constraint notice_of_its_subject;
alter table notice add constraint notice_of_a_run_or_a_batch check
    (case kind when 'batch-overdue' then run_id is null and batch_id is not null
               else run_id is not null and batch_id is null end);
alter table notice drop constraint notice_kind_known;
alter table notice add constraint notice_kind_known
    check (kind in ('result', 'run-failed', 'log-kept-back', 'run-stuck', 'batch-overdue'));
alter table notice drop column stream_error_id;
drop table stream_error;
