drop index notice_calls;
delete from notice where address = 'webhook';
alter table notice drop constraint notice_address_check;
alter table notice add constraint notice_address_check check (parselog_are_addresses(array[address]));
