select set_config('search_path', format('%I, pg_temp', nspname), true)
from pg_class join pg_namespace on pg_namespace.oid = relnamespace where pg_class.oid = 'data_file'::regclass;

create or replace function log_drops_its_pieces() returns trigger
language plpgsql set search_path from current
as $$
begin
    delete from log_piece where log_id = new.id;
    delete from log_part where log_id = new.id;
    delete from log_upload where log_id = new.id;
    return null;
end
$$;
drop table log_read;
