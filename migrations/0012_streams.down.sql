drop index log_of_service;
alter table log drop column worker;
