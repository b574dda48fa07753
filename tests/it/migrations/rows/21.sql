-- The archive of a running log, of which two parts are up.
insert into log_upload (log_id, upload, parts, raw_bytes, gzip_bytes, lines, members, latest, raw_sha256, gzip_sha256,
                        events, last_event, has_cut, problems, rest)
select id, 'an-upload', 2, 90000000, 17000000, 400000, 86, 1767225600000000, decode('00', 'hex'), decode('00', 'hex'),
       '{"INFO": 399999}', 399999, false, '[]', decode('1f8b', 'hex')
from log where state = 'open' and run_id is not null;
insert into log_part (log_id, number, bytes, sha256, entries)
select log_id, number, 8388608, decode(repeat('00', 32), 'hex'), decode('00', 'hex')
from log_upload, generate_series(1, 2) as number;
