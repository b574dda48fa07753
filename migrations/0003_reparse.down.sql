drop function enqueue_reparse, reparse_files;
