alter table log reset (autovacuum_vacuum_scale_factor, autovacuum_vacuum_insert_scale_factor,
                       autovacuum_analyze_scale_factor);
alter table parse_file_meta reset (autovacuum_vacuum_scale_factor, autovacuum_vacuum_insert_scale_factor,
                                   autovacuum_analyze_scale_factor);
drop trigger knows_its_kind on parse_file_meta;
drop function parse_file_meta_file_kind;
create index parse_file_meta_ended on parse_file_meta (finished_at) where finished_at is not null;
create index parse_file_meta_open on parse_file_meta (batch_id) where status in ('queued', 'running');
create index parse_file_meta_claim on parse_file_meta (priority, run_after, id) where status = 'queued';
drop index data_file_year, data_file_state, data_file_section, log_state, parse_meta_deadline, parse_meta_requested_by,
    parse_file_meta_verdict, parse_file_meta_status, parse_file_meta_unended,
    parse_file_meta_waiting;
alter table parse_file_meta drop column file_kind;
drop table run_tally;
