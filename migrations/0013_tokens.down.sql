drop table token;
