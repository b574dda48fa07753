drop table web_session;
-- An older parselog knows no bounds of programs and time, and no higher role: what had them must not gain by it.
update token set revoked_at = coalesce(revoked_at, now()), revoked_by = coalesce(revoked_by, 'migration')
where programs <> '{}' or expires_at is not null or role not in ('ingest', 'staff');
update token set role = 'staff' where role not in ('ingest', 'staff');
alter table token
    drop constraint programs_of_a_reader,
    drop column last_used_at,
    drop column expires_at,
    drop column programs,
    drop constraint token_role_check,
    add constraint token_role_check check (role in ('ingest', 'staff'));
