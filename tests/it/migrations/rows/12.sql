-- A segment of a stream that is still written to, and one that is sealed.
insert into log (service, state, worker, first_at) values ('celery', 'open', 'host-1', now());
insert into log (service, state, worker, raw_bytes, lines, events, dropped, first_at, last_at)
values ('celery', 'sealed', 'host-1', 10, 3, '{"INFO": 1}', 2, now(), now());
