-- Streams of services: whose spool has a segment that is not archived, and the segments of one stream in order.
select set_config('search_path', format('%I, pg_temp', nspname), true)
from pg_class join pg_namespace on pg_namespace.oid = relnamespace where pg_class.oid = 'data_file'::regclass;

alter table log add column worker text;         -- which process wrote a segment
create index log_of_service on log (service, first_at) where service is not null;
