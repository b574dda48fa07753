-- A reader of one program, an operator's token with an end, a link that nobody used, and a session.
insert into token (name, role, programs, secret_sha256, created_by)
values ('tanf-reader', 'staff', '{tanf}', decode(repeat('ef', 32), 'hex'), 'ann');
insert into token (name, role, expires_at, last_used_at, secret_sha256, created_by)
values ('deploy', 'operator', now() + interval '30 days', now(), decode(repeat('01', 32), 'hex'), 'ann');
insert into web_session (name, role, created_by, link_sha256, link_expires_at)
values ('bob', 'admin', 'ann', decode(repeat('02', 32), 'hex'), now() + interval '5 minutes');
insert into web_session
    (name, role, programs, created_by, link_sha256, link_expires_at, opened_at, secret_sha256, expires_at, revoked_at, revoked_by)
values ('ann', 'staff', '{tanf,ssp}', 'ann', decode(repeat('03', 32), 'hex'), now(), now(),
        decode(repeat('04', 32), 'hex'), now() + interval '12 hours', now(), 'bob');
