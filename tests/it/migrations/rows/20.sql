-- Errors in a stream that an operator is told of.
insert into stream_error (service, logger, errors) values ('celery', 'tasks.parse', 3);
insert into notice (kind, stream_error_id, address)
select 'stream-errors', id, 'admin@parselog.test' from stream_error;
