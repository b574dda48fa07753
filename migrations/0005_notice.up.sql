-- Notices: who is told what by mail, and whether he was.

-- Whether all of these look like e-mail addresses, in plain ASCII and with nothing around them.
create function parselog_are_addresses(addresses text[]) returns boolean
language sql immutable parallel safe
as $$
    select coalesce(bool_and(coalesce(
        char_length(address) <= 254
        and address ~ '^[A-Za-z0-9.!#$%&''*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$', false)), true)
    from unnest(addresses) as a (address)
$$;

-- What is no address can't be written to: it goes, so that the rows fit the rule.
update data_file set submitter_emails = array(
    select address from unnest(submitter_emails) as a (address) where parselog_are_addresses(array[address]))
where not parselog_are_addresses(submitter_emails);
alter table data_file add constraint submitter_emails_are_addresses
    check (parselog_are_addresses(submitter_emails));

-- Naming addresses with a file version that is known already is no longer ignored: they replace
-- those from before, and naming none keeps them.
do $$
declare
    known constant text := 'size_bytes = coalesce(data_file.size_bytes, excluded.size_bytes)';
begin
    execute replace(pg_get_functiondef('enqueue_parse_many'::regproc), known, known || ',
                submitter_emails = case when excluded.submitter_emails = ''{}''
                    then data_file.submitter_emails else excluded.submitter_emails end');
end
$$;

-- One mail that is to be sent, or was: a condition and whom it is told. The rows stay, since they are
-- what keeps anybody from being told twice. What the mail says is made from the rows it is about.
create table notice (
    id bigint generated always as identity primary key,
    kind text not null,
    run_id uuid references parse_file_meta,
    batch_id bigint references parse_meta,
    address text not null check (parselog_are_addresses(array[address])),
    state text not null default 'queued',
    created_at timestamptz not null default now(),
    attempts integer not null default 0,
    next_try_at timestamptz not null default now(),
    tried_at timestamptz,                       -- when the last attempt began
    sent_at timestamptz,                        -- when the mail server took it
    last_error text,
    constraint notice_kind_known check
        (kind in ('result', 'run-failed', 'log-kept-back', 'run-stuck', 'batch-overdue')),
    constraint notice_state_known check (state in ('queued', 'sending', 'sent', 'failed', 'dismissed')),
    constraint notice_of_a_run_or_a_batch check
        (case kind when 'batch-overdue' then run_id is null and batch_id is not null
                   else run_id is not null and batch_id is null end),
    constraint sent_has_a_time check ((sent_at is not null) = (state = 'sent')),
    constraint failed_has_a_reason check (state <> 'failed' or last_error is not null)
);
create unique index one_mail_per_condition on notice (kind, coalesce(run_id::text, batch_id::text), address);
create index notice_of_run on notice (run_id);
create index notice_unsent on notice (id) where state in ('queued', 'sending', 'failed');
create index notice_results on notice (id) where state = 'queued' and kind = 'result';
create index notice_errors on notice (id) where state = 'queued' and kind <> 'result';
create index notice_sent on notice (address, sent_at) where state = 'sent';

-- How far the ends of runs were looked through for something to tell. Without the row nobody ever
-- looked, and what happened before he did is told to nobody.
create table notice_watch (
    only_one boolean primary key default true check (only_one),
    since timestamptz not null default now(),
    through timestamptz not null default now()
);
create index parse_file_meta_ended on parse_file_meta (finished_at) where finished_at is not null;
