-- A token in use, and one that was revoked.
insert into token (name, role, streams, secret_sha256, created_by)
values ('web', 'ingest', '{web}', decode(repeat('ab', 32), 'hex'), 'ann');
insert into token (name, role, secret_sha256, created_by, revoked_at, revoked_by)
values ('reader', 'staff', decode(repeat('cd', 32), 'hex'), 'ann', now(), 'bob');
