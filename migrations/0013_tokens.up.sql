-- Who may send and read over HTTP from other machines: a token is known by its hash alone.
select set_config('search_path', format('%I, pg_temp', nspname), true)
from pg_class join pg_namespace on pg_namespace.oid = relnamespace where pg_class.oid = 'data_file'::regclass;

create table token (
    id bigint generated always as identity primary key,
    name text not null check (name <> ''),
    role text not null check (role in ('ingest', 'staff')),
    streams text[] not null default '{}',       -- what it may send; empty: anything
    secret_sha256 bytea not null check (octet_length(secret_sha256) = 32),
    created_at timestamptz not null default now(),
    created_by text not null check (created_by <> ''),
    revoked_at timestamptz,
    revoked_by text,

    constraint revoked_by_somebody check ((revoked_at is null) = (revoked_by is null)),
    constraint streams_of_a_sender check (role = 'ingest' or streams = '{}')
);
create unique index token_name_in_use on token (name) where revoked_at is null;
