drop function enqueue_parse, enqueue_parse_many, parselog_retry_delay;
