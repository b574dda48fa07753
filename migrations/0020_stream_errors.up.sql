-- Errors in streams, one row for each condition and the hour from its first error on: operators are told of it once.
create table stream_error (
    id bigint generated always as identity primary key,
    service text not null,
    logger text not null,
    began_at timestamptz not null default now(),
    last_at timestamptz not null default now(),
    errors bigint not null,
    constraint errors_are_counted check (errors > 0),
    constraint begins_before_it_ends check (began_at <= last_at)
);
create index stream_error_latest on stream_error (service, logger, began_at desc);
create index stream_error_began on stream_error (began_at);

alter table notice add column stream_error_id bigint references stream_error;
create index notice_of_errors on notice (stream_error_id) where stream_error_id is not null;
alter table notice drop constraint notice_kind_known;
alter table notice add constraint notice_kind_known
    check (kind in ('result', 'run-failed', 'log-kept-back', 'run-stuck', 'batch-overdue', 'stream-errors'));
alter table notice drop constraint notice_of_a_run_or_a_batch;
alter table notice add constraint notice_of_its_subject
    check (num_nonnulls(run_id, batch_id, stream_error_id) = 1
           and (kind = 'batch-overdue') = (batch_id is not null)
           and (kind = 'stream-errors') = (stream_error_id is not null));
drop index one_mail_per_condition;
create unique index one_mail_per_condition
    on notice (kind, coalesce(run_id::text, batch_id::text, stream_error_id::text), address);
