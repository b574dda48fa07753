-- Who may see and do what in a browser: more roles, readers of some programs alone, an end and a last use of tokens,
-- and sessions, each opened by a link that works once. Of links and sessions too, only hashes are known.
select set_config('search_path', format('%I, pg_temp', nspname), true)
from pg_class join pg_namespace on pg_namespace.oid = relnamespace where pg_class.oid = 'data_file'::regclass;

alter table token
    drop constraint token_role_check,
    add constraint token_role_check check (role in ('ingest', 'staff', 'operator', 'admin')),
    add column programs text[] not null default '{}',   -- whose runs it may see; empty: all
    add column expires_at timestamptz,
    add column last_used_at timestamptz,
    add constraint programs_of_a_reader check (role = 'staff' or programs = '{}');

create table web_session (
    id bigint generated always as identity primary key,
    name text not null check (name <> ''),              -- whose session it is
    role text not null check (role in ('staff', 'operator', 'admin')),
    programs text[] not null default '{}',              -- whose runs it may see; empty: all
    created_at timestamptz not null default now(),
    created_by text not null check (created_by <> ''),
    link_sha256 bytea not null unique check (octet_length(link_sha256) = 32),
    link_expires_at timestamptz not null,
    opened_at timestamptz,                              -- when its link was used
    secret_sha256 bytea unique check (octet_length(secret_sha256) = 32),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    revoked_by text,

    constraint opened_with_a_secret_and_an_end
        check ((opened_at is null) = (secret_sha256 is null) and (opened_at is null) = (expires_at is null)),
    constraint revoked_by_somebody check ((revoked_at is null) = (revoked_by is null)),
    constraint programs_of_a_reader check (role = 'staff' or programs = '{}')
);
