drop index parse_file_meta_ended;
drop table notice_watch, notice;
do $$
declare
    known constant text := 'size_bytes = coalesce(data_file.size_bytes, excluded.size_bytes)';
begin
    execute replace(pg_get_functiondef('enqueue_parse_many'::regproc), known || ',
                submitter_emails = case when excluded.submitter_emails = ''{}''
                    then data_file.submitter_emails else excluded.submitter_emails end', known);
end
$$;
alter table data_file drop constraint submitter_emails_are_addresses;
drop function parselog_are_addresses;
