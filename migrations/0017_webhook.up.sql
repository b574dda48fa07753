-- A webhook is told as well. Its address stays in the settings, since it may be a secret.
alter table notice drop constraint notice_address_check;
alter table notice add constraint notice_address_check
    check (address = 'webhook' or parselog_are_addresses(array[address]));
create index notice_calls on notice (id) where address = 'webhook' and state in ('queued', 'sending');
