-- The texts are those from before; only where the tables are looked for goes back to the search path.
alter function parse_file_meta_action() set search_path from current;
alter function enqueue_parse_many(jsonb, text, integer, integer, timestamptz, timestamptz, text)
    set search_path from current;
alter function enqueue_parse(text, text, text, text, text, text, integer, integer, text, text[], integer,
                             integer, timestamptz, text, bigint, timestamptz, text)
    set search_path from current;
alter function reparse_files(jsonb) set search_path from current;
alter function enqueue_reparse(jsonb, text, text, integer, integer, timestamptz, boolean)
    set search_path from current;
