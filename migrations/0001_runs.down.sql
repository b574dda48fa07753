drop table log_entry, run_action, parse_file_meta, parse_meta, data_file;
drop function parselog_append_only, parse_file_meta_action, parse_file_meta_guard, parselog_uuid_v7;
