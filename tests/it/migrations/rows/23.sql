-- Somebody elsewhere reads a log that grows: one question is open, one answered, one refused.
insert into log_read (log_id, at, bytes, answer, refusal)
select id, 0, 100, answer, refusal
from (select id from log order by id limit 1) one,
     (values (null::bytea, null), ('\x1f8b', null), (null, 'it is not here')) as said (answer, refusal);
