-- A worker that is alive, and one that stopped.
insert into worker (id, name, beat, slots, busy, takes)
values (gen_random_uuid(), 'alive', '5 s', 4, 1, '{fra/*,tanf/active}');
insert into worker (id, name, beat, slots, takes, stopped_at)
values (gen_random_uuid(), 'stopped', '5 s', 1, '{*/*}', now());
