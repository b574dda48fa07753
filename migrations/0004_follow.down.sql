drop table log_piece, log_follow;
