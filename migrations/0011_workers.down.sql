drop index parse_file_meta_finished;
drop table worker;
