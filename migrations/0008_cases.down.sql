alter table parse_file_meta drop column cases;
