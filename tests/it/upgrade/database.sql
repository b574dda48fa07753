--
-- PostgreSQL database dump
--


-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: enqueue_parse(text, text, text, text, text, text, integer, integer, text, text[], integer, integer, timestamp with time zone, text, bigint, timestamp with time zone, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.enqueue_parse(bucket text, key text, version_id text, name text, program text, section text, fiscal_year integer, fiscal_quarter integer, submitted_by text DEFAULT CURRENT_USER, submitter_emails text[] DEFAULT '{}'::text[], priority integer DEFAULT 100, max_attempts integer DEFAULT 3, run_after timestamp with time zone DEFAULT now(), state text DEFAULT NULL::text, size_bytes bigint DEFAULT NULL::bigint, deadline timestamp with time zone DEFAULT NULL::timestamp with time zone, reason text DEFAULT NULL::text) RETURNS uuid
    LANGUAGE sql
    SET search_path TO 'public', 'pg_temp'
    AS $$
    select run_id from enqueue_parse_many(
        jsonb_build_array(jsonb_build_object(
            'bucket', bucket, 'key', key, 'version_id', version_id, 'name', name,
            'program', program, 'section', section, 'fiscal_year', fiscal_year,
            'fiscal_quarter', fiscal_quarter, 'state', state, 'size_bytes', size_bytes,
            'submitter_emails', submitter_emails)),
        submitted_by, priority, max_attempts, run_after, deadline, reason)
$$;


--
-- Name: enqueue_parse_many(jsonb, text, integer, integer, timestamp with time zone, timestamp with time zone, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.enqueue_parse_many(files jsonb, submitted_by text DEFAULT CURRENT_USER, priority integer DEFAULT 100, max_attempts integer DEFAULT 3, run_after timestamp with time zone DEFAULT now(), deadline timestamp with time zone DEFAULT NULL::timestamp with time zone, reason text DEFAULT NULL::text) RETURNS TABLE(run_id uuid, data_file_id bigint, bucket text, key text, version_id text)
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
    batch bigint;
    complaint text;
    file_ids bigint[];
    run_ids uuid[];
begin
    if jsonb_typeof(files) is distinct from 'array' or jsonb_array_length(files) = 0 then
        raise exception 'no files to queue: expected a JSON array of objects'
            using errcode = 'invalid_parameter_value';
    end if;

    select format('%s/%s is named twice', f.bucket, f.key) into complaint
    from jsonb_to_recordset(files) as f (bucket text, key text, version_id text)
    group by f.bucket, f.key, coalesce(f.version_id, '') having count(*) > 1 limit 1;
    if complaint is not null then
        raise exception '%', complaint using errcode = 'invalid_parameter_value';
    end if;

    -- In key order, so that two callers with the same files wait for, not deadlock, each other.
    -- The update that changes next to nothing returns the row of a known file, locked.
    with said as (
        select * from rows from (jsonb_to_recordset(files) as (
            bucket text, key text, version_id text, name text, program text, section text,
            fiscal_year integer, fiscal_quarter smallint, state text, size_bytes bigint, sha256 text,
            submitter_emails text[], identity text)) with ordinality
    ), given as (
        select bucket, key, coalesce(version_id, '') as version_id, name, program, section, fiscal_year,
               fiscal_quarter, state, size_bytes, decode(sha256, 'hex') as sha256,
               coalesce(submitter_emails, '{}') as submitter_emails, coalesce(identity, key) as identity,
               ordinality
        from said
    ), known as (
        insert into data_file (bucket, key, version_id, name, program, section, fiscal_year,
                               fiscal_quarter, state, size_bytes, sha256, submitted_by, submitter_emails,
                               identity, submission)
        select bucket, key, version_id, name, program, section, fiscal_year, fiscal_quarter, state,
               size_bytes, sha256, enqueue_parse_many.submitted_by, submitter_emails, identity,
               parselog_submission(bucket, key, version_id, sha256, enqueue_parse_many.submitted_by)
        from given
        order by bucket, key, version_id
        on conflict (submission) do update
            set size_bytes = coalesce(data_file.size_bytes, excluded.size_bytes),
                sha256 = coalesce(data_file.sha256, excluded.sha256),
                state = coalesce(data_file.state, excluded.state),
                submitter_emails = case when excluded.submitter_emails = '{}'
                    then data_file.submitter_emails else excluded.submitter_emails end
        returning *
    )
    select array_agg(k.id order by g.ordinality), array_agg(parselog_uuid_v7()) into file_ids, run_ids
    from known k
    join given g on (g.bucket, g.key, g.version_id) = (k.bucket, k.key, k.version_id);

    -- Whoever submitted the version before.
    select format('%s/%s is known as %s %s %s Q%s%s%s already', k.bucket, k.key, k.program, k.section,
                  k.fiscal_year, k.fiscal_quarter, ' of ' || k.state, ' with ' || k.size_bytes || ' bytes')
    into complaint
    from jsonb_to_recordset(files) as g (bucket text, key text, version_id text, program text, section text,
                                         fiscal_year integer, fiscal_quarter smallint, state text,
                                         size_bytes bigint, sha256 text)
    join data_file k on (k.bucket, k.key, k.version_id) = (g.bucket, g.key, g.version_id)
        and k.version_id not in ('', 'null')
    where (g.program, g.section, g.fiscal_year, g.fiscal_quarter)
          is distinct from (k.program, k.section, k.fiscal_year, k.fiscal_quarter)
       or g.state <> k.state or g.size_bytes <> k.size_bytes or decode(g.sha256, 'hex') <> k.sha256
    limit 1;
    if complaint is not null then
        raise exception '%', complaint using errcode = 'invalid_parameter_value';
    end if;

    insert into parse_meta (kind, requested_by, reason, deadline)
    values ('submission', enqueue_parse_many.submitted_by, enqueue_parse_many.reason,
            enqueue_parse_many.deadline)
    returning id into batch;

    insert into parse_file_meta
        (id, data_file_id, batch_id, kind, max_attempts, priority, run_after)
    select run, file, batch, 'submission', enqueue_parse_many.max_attempts,
           enqueue_parse_many.priority, enqueue_parse_many.run_after
    from unnest(run_ids, file_ids) as queued (run, file);

    insert into log_entry (actor, entry, data_file_id, batch_id, run_id, detail)
    select enqueue_parse_many.submitted_by, 'submitted', file, batch, run, enqueue_parse_many.reason
    from unnest(run_ids, file_ids) as queued (run, file);

    return query
    select run, file, d.bucket, d.key, d.version_id
    from unnest(run_ids, file_ids) with ordinality as queued (run, file, ordinal)
    join data_file d on d.id = file
    order by ordinal;

    perform pg_notify('parselog_queue', '');
end
$$;


--
-- Name: enqueue_reparse(jsonb, text, text, integer, integer, timestamp with time zone, boolean); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.enqueue_reparse(selection jsonb, requested_by text DEFAULT CURRENT_USER, reason text DEFAULT NULL::text, priority integer DEFAULT 200, max_attempts integer DEFAULT 3, deadline timestamp with time zone DEFAULT (now() + '24:00:00'::interval), force boolean DEFAULT false) RETURNS TABLE(reparse_id bigint, files bigint)
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    file_ids bigint[];
    other record;
    batch bigint;
    forced text := '';
begin
    -- Two reparses that are asked for at once must see each other.
    perform pg_advisory_xact_lock(hashtext('parselog_reparse'));
    select array_agg(f) into file_ids from reparse_files(selection) as f;
    if file_ids is null then
        raise exception 'no file fits the selection' using errcode = 'no_data_found';
    end if;

    select b.id, b.requested_by, count(distinct r.data_file_id) as files into other
    from parse_meta b
    join parse_file_meta r on r.batch_id = b.id and r.data_file_id = any(file_ids)
    where b.kind = 'reparse' and b.finished_at is null and (b.deadline is null or b.deadline > now())
      and exists (select 1 from parse_file_meta o
                  where o.batch_id = b.id and o.status in ('queued', 'running'))
    group by b.id order by b.id desc limit 1;
    if other.id is not null then
        if not force then
            raise exception 'reparse % by % has % of these files and is unfinished',
                other.id, other.requested_by, other.files using errcode = 'object_in_use';
        end if;
        forced := format('; forced: reparse %s is unfinished and has %s of them', other.id, other.files);
    end if;

    insert into parse_meta (kind, requested_by, reason, selection, deadline)
    values ('reparse', enqueue_reparse.requested_by, enqueue_reparse.reason, enqueue_reparse.selection,
            enqueue_reparse.deadline)
    returning id into batch;

    insert into parse_file_meta (data_file_id, batch_id, kind, max_attempts, priority)
    select file, batch, 'reparse', enqueue_reparse.max_attempts, enqueue_reparse.priority
    from unnest(file_ids) with ordinality as f (file, ordinal) order by ordinal;

    insert into log_entry (actor, entry, batch_id, detail)
    values (enqueue_reparse.requested_by, 'reparse-queued', batch,
            format('%s files: %s%s%s', cardinality(file_ids), selection,
                   '; ' || enqueue_reparse.reason, forced));

    perform pg_notify('parselog_queue', '');
    return query select batch, cardinality(file_ids)::bigint;
end
$$;


--
-- Name: parse_file_meta_action(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.parse_file_meta_action() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    insert into run_action (run_id, task, action, worker, detail)
    values (
        new.id,
        case new.kind when 'reparse' then 'reparse' else 'parse' end,
        case new.status when 'running' then 'run' else new.status end,
        new.worker,
        case new.status
            when 'running' then format('attempt %s of %s', new.attempt, new.max_attempts)
            when 'success' then new.summary_status
            else new.failure
        end);
    return null;
end
$$;


--
-- Name: parse_file_meta_guard(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.parse_file_meta_guard() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if tg_op = 'INSERT' then
        raise exception 'a run begins as queued, not as %', new.status using errcode = 'check_violation';
    end if;
    if (new.id, new.data_file_id, new.batch_id, new.kind, new.attempt)
        is distinct from (old.id, old.data_file_id, old.batch_id, old.kind, old.attempt) then
        raise exception 'run % can not change what it is about', old.id using errcode = 'check_violation';
    end if;
    if new.status <> old.status
        and not (old.status = 'queued' and new.status in ('running', 'inaction'))
        and not (old.status = 'running' and new.status <> 'queued') then
        raise exception 'run % is %: it can not become %', old.id, old.status, new.status
            using errcode = 'check_violation';
    end if;
    return new;
end
$$;


--
-- Name: parselog_append_only(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.parselog_append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if coalesce(current_setting('parselog.rewrite_history', true), '') = 'on' then
        return case tg_op when 'DELETE' then old else new end;
    end if;
    raise exception '% is append-only: % refused', tg_table_name, lower(tg_op)
        using errcode = 'restrict_violation', hint = 'set local parselog.rewrite_history = ''on''';
end
$$;


--
-- Name: parselog_are_addresses(text[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.parselog_are_addresses(addresses text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $_$
    select coalesce(bool_and(coalesce(
        char_length(address) <= 254
        and address ~ '^[A-Za-z0-9.!#$%&''*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$', false)), true)
    from unnest(addresses) as a (address)
$_$;


--
-- Name: parselog_retry_delay(integer); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.parselog_retry_delay(attempt integer) RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select least(interval '10 minutes', interval '10 seconds' * power(2, least(attempt, 20) - 1))
$$;


--
-- Name: parselog_submission(text, text, text, bytea, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.parselog_submission(bucket text, key text, version_id text, sha256 bytea, submitted_by text) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    select sha256(convert_to(case
        when version_id not in ('', 'null') then jsonb_build_array(bucket, key, version_id, submitted_by)
        when sha256 is not null then
            jsonb_build_array(bucket, key, version_id, submitted_by, encode(sha256, 'hex'))
    end::text, 'UTF8'))
$$;


--
-- Name: parselog_uuid_v7(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.parselog_uuid_v7() RETURNS uuid
    LANGUAGE sql PARALLEL SAFE
    AS $$
    select encode(
        set_byte(
            set_byte(
                overlay(uuid_send(gen_random_uuid())
                        placing substring(int8send(micros / 1000) from 3) from 1 for 6),
                6, 112 | (fraction >> 8)),
            7, fraction & 255),
        'hex')::uuid
    from (
        select micros, ((micros % 1000) * 4096 / 1000)::integer as fraction
        from (select (extract(epoch from clock_timestamp()) * 1000000)::bigint as micros) as clock
    ) as split
$$;


--
-- Name: reparse_files(jsonb); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.reparse_files(selection jsonb) RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    unknown text;
begin
    select string_agg(key, ', ') into unknown from jsonb_object_keys(selection) as keys (key)
    where key not in ('files', 'program', 'section', 'state', 'fiscal_year', 'fiscal_quarter', 'status',
                      'since', 'every_version', 'all');
    if unknown is not null then
        raise exception 'a selection of files knows no %', unknown using errcode = 'invalid_parameter_value';
    end if;
    if not (selection - 'every_version' <> '{}') then
        raise exception 'the selection is empty: name files, say what they are, or say "all"'
            using errcode = 'invalid_parameter_value';
    end if;
    return query
    select f.id from data_file f
    where (not selection ? 'files'
           or f.id in (select value::bigint from jsonb_array_elements_text(selection->'files')))
      and (not selection ? 'program' or f.program = selection->>'program')
      and (not selection ? 'section' or f.section = selection->>'section')
      and (not selection ? 'state' or f.state = selection->>'state')
      and (not selection ? 'fiscal_year' or f.fiscal_year = (selection->>'fiscal_year')::integer)
      and (not selection ? 'fiscal_quarter' or f.fiscal_quarter = (selection->>'fiscal_quarter')::integer)
      and (not selection ? 'since' or f.created_at >= (selection->>'since')::timestamptz)
      and (not selection ? 'status' or exists (
              select 1 from (select r.status, r.summary_status from parse_file_meta r
                             where r.data_file_id = f.id and r.finished_at is not null
                             order by r.id desc limit 1) as latest
              where selection->'status' ? latest.status or selection->'status' ? latest.summary_status))
      and (selection ? 'files' or coalesce((selection->>'every_version')::boolean, false)
           or not exists (select 1 from data_file newer
                          where (newer.bucket, newer.identity, newer.owner) = (f.bucket, f.identity, f.owner)
                            and newer.id > f.id))
    order by f.id;
end
$$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: _sqlx_migrations; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public._sqlx_migrations (
    version bigint NOT NULL,
    description text NOT NULL,
    installed_on timestamp with time zone DEFAULT now() NOT NULL,
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);


--
-- Name: data_file; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.data_file (
    id bigint NOT NULL,
    bucket text NOT NULL,
    key text NOT NULL,
    version_id text DEFAULT ''::text NOT NULL,
    name text NOT NULL,
    program text NOT NULL,
    section text NOT NULL,
    fiscal_year integer NOT NULL,
    fiscal_quarter smallint NOT NULL,
    state text,
    size_bytes bigint,
    submitted_by text NOT NULL,
    submitter_emails text[] DEFAULT '{}'::text[] NOT NULL,
    legal_hold boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    sha256 bytea,
    identity text NOT NULL,
    owner text GENERATED ALWAYS AS (COALESCE(('state '::text || state), ('submitter '::text || submitted_by))) STORED NOT NULL,
    submission bytea,
    CONSTRAINT data_file_bucket_check CHECK ((bucket <> ''::text)),
    CONSTRAINT data_file_fiscal_quarter_check CHECK (((fiscal_quarter >= 1) AND (fiscal_quarter <= 4))),
    CONSTRAINT data_file_fiscal_year_check CHECK (((fiscal_year >= 1990) AND (fiscal_year <= 2100))),
    CONSTRAINT data_file_key_check CHECK (((octet_length(key) >= 1) AND (octet_length(key) <= 1024))),
    CONSTRAINT data_file_name_check CHECK ((name <> ''::text)),
    CONSTRAINT data_file_program_check CHECK ((program ~ '^[a-z][a-z0-9-]*$'::text)),
    CONSTRAINT data_file_section_check CHECK ((section ~ '^[a-z][a-z0-9-]*$'::text)),
    CONSTRAINT data_file_sha256_is_32_bytes CHECK ((octet_length(sha256) = 32)),
    CONSTRAINT data_file_size_bytes_check CHECK ((size_bytes >= 0)),
    CONSTRAINT data_file_state_check CHECK (((char_length(state) >= 1) AND (char_length(state) <= 16))),
    CONSTRAINT data_file_submitted_by_check CHECK ((submitted_by <> ''::text)),
    CONSTRAINT identity_is_like_a_key CHECK (((octet_length(identity) >= 1) AND (octet_length(identity) <= 1024))),
    CONSTRAINT submitter_emails_are_addresses CHECK (public.parselog_are_addresses(submitter_emails))
);


--
-- Name: data_file_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.data_file ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.data_file_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: log_entry; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.log_entry (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    actor text DEFAULT COALESCE(NULLIF(current_setting('application_name'::text, true), ''::text), (CURRENT_USER)::text) NOT NULL,
    entry text NOT NULL,
    data_file_id bigint,
    batch_id bigint,
    run_id uuid,
    detail text,
    CONSTRAINT log_entry_actor_check CHECK ((actor <> ''::text)),
    CONSTRAINT log_entry_entry_check CHECK ((entry ~ '^[a-z][a-z0-9-]*$'::text))
);


--
-- Name: log_entry_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.log_entry ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.log_entry_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: log_follow; Type: TABLE; Schema: public; Owner: -
--

CREATE UNLOGGED TABLE public.log_follow (
    run_id uuid NOT NULL,
    wanted_until timestamp with time zone NOT NULL,
    shipped_to bigint
);


--
-- Name: log_piece; Type: TABLE; Schema: public; Owner: -
--

CREATE UNLOGGED TABLE public.log_piece (
    run_id uuid NOT NULL,
    at bigint NOT NULL,
    bytes bytea NOT NULL
);


--
-- Name: notice; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.notice (
    id bigint NOT NULL,
    kind text NOT NULL,
    run_id uuid,
    batch_id bigint,
    address text NOT NULL,
    state text DEFAULT 'queued'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    next_try_at timestamp with time zone DEFAULT now() NOT NULL,
    tried_at timestamp with time zone,
    sent_at timestamp with time zone,
    last_error text,
    CONSTRAINT failed_has_a_reason CHECK (((state <> 'failed'::text) OR (last_error IS NOT NULL))),
    CONSTRAINT notice_address_check CHECK (public.parselog_are_addresses(ARRAY[address])),
    CONSTRAINT notice_kind_known CHECK ((kind = ANY (ARRAY['result'::text, 'run-failed'::text, 'log-kept-back'::text, 'run-stuck'::text, 'batch-overdue'::text]))),
    CONSTRAINT notice_of_a_run_or_a_batch CHECK (
CASE kind
    WHEN 'batch-overdue'::text THEN ((run_id IS NULL) AND (batch_id IS NOT NULL))
    ELSE ((run_id IS NOT NULL) AND (batch_id IS NULL))
END),
    CONSTRAINT notice_state_known CHECK ((state = ANY (ARRAY['queued'::text, 'sending'::text, 'sent'::text, 'failed'::text, 'dismissed'::text]))),
    CONSTRAINT sent_has_a_time CHECK (((sent_at IS NOT NULL) = (state = 'sent'::text)))
);


--
-- Name: notice_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.notice ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.notice_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: notice_watch; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.notice_watch (
    only_one boolean DEFAULT true NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL,
    through timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT notice_watch_only_one_check CHECK (only_one)
);


--
-- Name: parse_file_meta; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.parse_file_meta (
    id uuid DEFAULT public.parselog_uuid_v7() NOT NULL,
    data_file_id bigint NOT NULL,
    batch_id bigint NOT NULL,
    kind text NOT NULL,
    reparse_id bigint GENERATED ALWAYS AS (
CASE
    WHEN (kind = 'reparse'::text) THEN batch_id
    ELSE NULL::bigint
END) STORED,
    attempt integer DEFAULT 1 NOT NULL,
    max_attempts integer DEFAULT 3 NOT NULL,
    status text DEFAULT 'queued'::text NOT NULL,
    priority smallint DEFAULT 100 NOT NULL,
    run_after timestamp with time zone DEFAULT now() NOT NULL,
    queued_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    deadline timestamp with time zone,
    worker text,
    lease_token uuid,
    lease_until timestamp with time zone,
    heartbeat_at timestamp with time zone,
    cancel_requested_at timestamp with time zone,
    cancel_requested_by text,
    failure text,
    summary_status text,
    records_in_file bigint,
    records_created bigint,
    created_by_type jsonb,
    error_counts jsonb,
    errors_by_month jsonb,
    error_count bigint,
    first_error_record bigint,
    first_error text,
    log_state text DEFAULT 'none'::text NOT NULL,
    logs_uri text,
    log_raw_bytes bigint,
    log_gzip_bytes bigint,
    log_lines bigint,
    log_events jsonb,
    log_dropped bigint,
    log_raw_sha256 bytea,
    log_gzip_sha256 bytea,
    log_archived_at timestamp with time zone,
    archive_error text,
    archive_attempts integer DEFAULT 0 NOT NULL,
    cases jsonb,
    CONSTRAINT archive_is_described CHECK ((num_nonnulls(log_gzip_bytes, log_raw_sha256, log_gzip_sha256, log_archived_at) =
CASE
    WHEN (log_state = ANY (ARRAY['archived'::text, 'pruned'::text])) THEN 4
    ELSE 0
END)),
    CONSTRAINT archived_has_no_error CHECK (((log_state <> 'archived'::text) OR (archive_error IS NULL))),
    CONSTRAINT archived_log_is_counted CHECK (((log_state <> ALL (ARRAY['archived'::text, 'pruned'::text])) OR (num_nonnulls(log_raw_bytes, log_lines, log_events, log_dropped) = 4))),
    CONSTRAINT attempt_within_limit CHECK (((attempt >= 1) AND (attempt <= max_attempts))),
    CONSTRAINT cancel_has_a_name CHECK (((cancel_requested_at IS NULL) = (cancel_requested_by IS NULL))),
    CONSTRAINT cases_of_a_success CHECK (((cases IS NULL) OR ((status = 'success'::text) AND (jsonb_typeof(cases) = 'object'::text)))),
    CONSTRAINT claimed_as_a_whole CHECK ((num_nonnulls(worker, lease_token, started_at, heartbeat_at) = ANY (ARRAY[0, 4]))),
    CONSTRAINT counts_are_objects CHECK (((jsonb_typeof(created_by_type) = 'object'::text) AND (jsonb_typeof(error_counts) = 'object'::text) AND (jsonb_typeof(errors_by_month) = 'object'::text) AND (jsonb_typeof(log_events) = 'object'::text))),
    CONSTRAINT counts_not_negative CHECK ((LEAST(records_in_file, records_created, error_count, first_error_record, log_raw_bytes, log_gzip_bytes, log_lines, log_dropped, (archive_attempts)::bigint) >= 0)),
    CONSTRAINT deadline_of_a_claim CHECK (((deadline IS NULL) OR (started_at IS NOT NULL))),
    CONSTRAINT ended_was_claimed CHECK (((status = ANY (ARRAY['queued'::text, 'inaction'::text])) OR (started_at IS NOT NULL))),
    CONSTRAINT failure_has_a_reason CHECK (((failure IS NOT NULL) = (status = ANY (ARRAY['fail'::text, 'terminate'::text, 'inaction'::text, 'crash'::text])))),
    CONSTRAINT fallback_has_a_reason CHECK (((log_state <> ALL (ARRAY['fallback'::text, 'lost'::text])) OR (archive_error IS NOT NULL))),
    CONSTRAINT finished_when_ended CHECK (((finished_at IS NOT NULL) = (status <> ALL (ARRAY['queued'::text, 'running'::text])))),
    CONSTRAINT first_error_counts CHECK (((first_error IS NULL) OR (error_count IS NOT NULL))),
    CONSTRAINT first_error_of_an_outcome CHECK (((first_error IS NOT NULL) OR (first_error_record IS NULL))),
    CONSTRAINT leased_while_running CHECK (((lease_until IS NOT NULL) = (status = 'running'::text))),
    CONSTRAINT log_state_known CHECK ((log_state = ANY (ARRAY['none'::text, 'open'::text, 'sealed'::text, 'archived'::text, 'fallback'::text, 'lost'::text, 'pruned'::text]))),
    CONSTRAINT outcome_of_a_success CHECK ((num_nonnulls(summary_status, created_by_type, error_counts, errors_by_month, error_count) =
CASE
    WHEN (status = 'success'::text) THEN 5
    ELSE 0
END)),
    CONSTRAINT queued_is_unclaimed CHECK (((status <> 'queued'::text) OR (started_at IS NULL))),
    CONSTRAINT records_of_a_success CHECK (((num_nonnulls(records_in_file, records_created) = ANY (ARRAY[0, 2])) AND ((records_in_file IS NULL) OR (status = 'success'::text)))),
    CONSTRAINT sha256_is_32_bytes CHECK (((octet_length(log_raw_sha256) = 32) AND (octet_length(log_gzip_sha256) = 32))),
    CONSTRAINT status_known CHECK ((status = ANY (ARRAY['queued'::text, 'running'::text, 'success'::text, 'fail'::text, 'terminate'::text, 'inaction'::text, 'crash'::text]))),
    CONSTRAINT summary_status_known CHECK ((summary_status = ANY (ARRAY['Accepted'::text, 'Accepted with Errors'::text, 'Partially Accepted with Errors'::text, 'Rejected'::text, 'No Verdict'::text]))),
    CONSTRAINT uri_of_an_object CHECK ((logs_uri ~ '^(s3|file)://.'::text)),
    CONSTRAINT uri_when_archived CHECK (((logs_uri IS NOT NULL) = (log_state = 'archived'::text)))
)
WITH (fillfactor='70');


--
-- Name: parse_meta; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.parse_meta (
    id bigint NOT NULL,
    kind text NOT NULL,
    requested_by text NOT NULL,
    reason text,
    selection jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    deadline timestamp with time zone,
    finished_at timestamp with time zone,
    CONSTRAINT parse_meta_check CHECK (((selection IS NOT NULL) = (kind = 'reparse'::text))),
    CONSTRAINT parse_meta_kind_check CHECK ((kind = ANY (ARRAY['submission'::text, 'reparse'::text]))),
    CONSTRAINT parse_meta_requested_by_check CHECK ((requested_by <> ''::text)),
    CONSTRAINT parse_meta_selection_check CHECK ((jsonb_typeof(selection) = 'object'::text))
);


--
-- Name: parse_meta_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.parse_meta ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.parse_meta_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: run_action; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.run_action (
    id bigint NOT NULL,
    run_id uuid,
    task text NOT NULL,
    action text NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    worker text,
    detail text,
    CONSTRAINT run_action_action_check CHECK ((action = ANY (ARRAY['run'::text, 'success'::text, 'fail'::text, 'terminate'::text, 'inaction'::text, 'crash'::text]))),
    CONSTRAINT run_action_task_check CHECK ((task ~ '^[a-z][a-z0-9_.-]*$'::text))
);


--
-- Name: run_action_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.run_action ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.run_action_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Data for Name: _sqlx_migrations; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public._sqlx_migrations VALUES (1, 'runs', '2026-11-28 03:31:08.08701+00', true, '\x813dacf8a3a16c1883e0c37c2cf0d89d6d30141087e9e7e3ba54065c8bd3384686ec6ea896371e77e7f89b140d93654d', 12777840);
INSERT INTO public._sqlx_migrations VALUES (2, 'queue', '2026-11-28 03:31:08.08701+00', true, '\xe824ca8205aa2ca53957b3a8443d329edc08ad134cf0ef030a1627c0c2e63ef9764a6931b8d8ea60b33a9069d3351163', 1302201);
INSERT INTO public._sqlx_migrations VALUES (3, 'reparse', '2026-11-28 03:31:08.08701+00', true, '\x1a64ec03ec434776215436ed3711c380d1df36b40eecbea9cd2b2074401b2fbb3c511148edfbbc22339b8b0ae5703da5', 842955);
INSERT INTO public._sqlx_migrations VALUES (4, 'follow', '2026-11-28 03:31:08.08701+00', true, '\xa4386fbec3dea16810a57797ed0b3b2909dfa08d2517d23a15508dbd21dfd4e3cdd5258c1fc1c4a0607ef86187115e01', 1830650);
INSERT INTO public._sqlx_migrations VALUES (5, 'notice', '2026-11-28 03:31:08.08701+00', true, '\x85470d1a9a6073a413d55811b4e649a068005b7bdb4d489ec494a990eaf919f5817ccde5e364ca8620957d859c149ae1', 5243532);
INSERT INTO public._sqlx_migrations VALUES (6, 'functions', '2026-11-28 03:31:08.08701+00', true, '\xb47a53ee60c5b6c8aa4f42d0af37ba8d7c58d57b169cdb7457c296a9f5bba0e96ef5bedd1d392f357a1e923668b4376a', 2420722);
INSERT INTO public._sqlx_migrations VALUES (7, 'identity', '2026-11-28 03:31:08.08701+00', true, '\xd0493e135c91e6d9908f3cd54f77558e87e2192262e983c04e3c20de096f6ef09bc82af2d3f337dcb49e1276d2710e13', 3836266);
INSERT INTO public._sqlx_migrations VALUES (8, 'cases', '2026-11-28 03:31:08.08701+00', true, '\x67272cbc2151bc20e225345c20825623cea46fde788337100ee1e3b39fa448dc2540a53d1c9d61c7b716179555719242', 975123);
INSERT INTO public._sqlx_migrations VALUES (9, 'verdicts', '2026-11-28 03:31:08.08701+00', true, '\x98ddfe6c4d06180e01680abe6c957244d80bd8a75d4f5281cf9e1d7f87b0c24f5f6bc30f02bfc0b5ac06ae90c8d47ce8', 1057538);


--
-- Data for Name: data_file; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.data_file OVERRIDING SYSTEM VALUE VALUES (1, 'files', 'data_files/2021/Q1/06/tanf/active/tanf-active-2021-q1.txt', '01a22034-e914-735e-9466-a592ab21d271', 'tanf-active-2021-q1.txt', 'tanf', 'active', 2021, 1, '06', 5247, 'ann', '{}', false, '2026-11-28 03:31:08.183005+00', '\x5ee2cf8cbe81d12daf14f9bca106b7f4edf66345dda927d3cfd340cc4759d0e8', 'data_files/2021/Q1/tanf/active/tanf-active-2021-q1.txt', DEFAULT, '\xd86ef6eda402a539e1a8942ed6972d6f6b7a8cf3a6ea8f7b7344388d54738f61');
INSERT INTO public.data_file OVERRIDING SYSTEM VALUE VALUES (2, 'files', 'data_files/2024/Q1/WI/letters/all/fallback.txt', '01a22034-e98f-72a8-961c-f59978729c5f', 'fallback.txt', 'letters', 'all', 2024, 1, 'WI', 6, 'ann', '{}', false, '2026-11-28 03:31:08.312687+00', '\x706204f15ce1834ad298c8e8d270315652bbd6e40cec489f65802db2fdd03167', 'data_files/2024/Q1/letters/all/fallback.txt', DEFAULT, '\x9426e4382b8cae4e9afc19e09a6e7edb2f169ca92da508f2fc2fc415f246fdd0');
INSERT INTO public.data_file OVERRIDING SYSTEM VALUE VALUES (3, 'files', 'data_files/2024/Q1/WI/letters/all/sealed.txt', '01a22034-ee40-7157-9bdd-a38035ebda1d', 'sealed.txt', 'letters', 'all', 2024, 1, 'WI', 6, 'ann', '{}', false, '2026-11-28 03:31:09.505783+00', '\x706204f15ce1834ad298c8e8d270315652bbd6e40cec489f65802db2fdd03167', 'data_files/2024/Q1/letters/all/sealed.txt', DEFAULT, '\x55e7f157d7fd9f673114687298ae07782e1aa5725860146a99efa22d8e56fdb6');
INSERT INTO public.data_file OVERRIDING SYSTEM VALUE VALUES (4, 'files', 'data_files/2024/Q1/WI/letters/all/open.txt', '01a22034-ee90-74d2-b1e8-f7a05ef9796c', 'open.txt', 'letters', 'all', 2024, 1, 'WI', 6, 'ann', '{}', false, '2026-11-28 03:31:09.589934+00', '\x706204f15ce1834ad298c8e8d270315652bbd6e40cec489f65802db2fdd03167', 'data_files/2024/Q1/letters/all/open.txt', DEFAULT, '\xa8bbed1c0ff8e69b78c0f2604b6a5f97a2e9b4dd68cfaae390908b4a45af1b82');
INSERT INTO public.data_file OVERRIDING SYSTEM VALUE VALUES (5, 'files', 'data_files/2024/Q1/WI/letters/all/capped.txt', '01a22034-fe3a-71b6-87bf-aa90eb9e143d', 'capped.txt', 'letters', 'all', 2024, 1, 'WI', 6, 'ann', '{}', false, '2026-11-28 03:31:13.596+00', '\x706204f15ce1834ad298c8e8d270315652bbd6e40cec489f65802db2fdd03167', 'data_files/2024/Q1/letters/all/capped.txt', DEFAULT, '\xe5fe78c7d1e7c9638c96684c09615489a8f35866d822b6f5dcb3c54a2c7ff3f1');


--
-- Data for Name: log_entry; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.log_entry OVERRIDING SYSTEM VALUE VALUES (1, '2026-11-28 03:31:08.189496+00', 'ann', 'submitted', 1, 1, '01a22034-e91b-7716-8338-44356a33fff8', NULL);
INSERT INTO public.log_entry OVERRIDING SYSTEM VALUE VALUES (2, '2026-11-28 03:31:08.211608+00', 'parselog-worker-21569', 'log-sealed', 1, 1, '01a22034-e91b-7716-8338-44356a33fff8', '20 lines, 0 events dropped');
INSERT INTO public.log_entry OVERRIDING SYSTEM VALUE VALUES (3, '2026-11-28 03:31:08.215708+00', 'parselog-worker-21569', 'archived', 1, 1, '01a22034-e91b-7716-8338-44356a33fff8', 'file://@HOME@/objects/files/data_files/2021/Q1/06/tanf/active/parsing_logs/parse-datafile-1-20261128T033108Z-01a22034-e91b-7716-8338-44356a33fff8.log.gz?versionId=01a22034-e934-7305-8d05-9350bef4e4ce');
INSERT INTO public.log_entry OVERRIDING SYSTEM VALUE VALUES (4, '2026-11-28 03:31:08.322771+00', 'ann', 'submitted', 2, 2, '01a22034-e9a1-723d-9f49-de8cdff07712', NULL);
INSERT INTO public.log_entry OVERRIDING SYSTEM VALUE VALUES (5, '2026-11-28 03:31:08.480964+00', 'parselog-worker-21616', 'log-sealed', 2, 2, '01a22034-e9a1-723d-9f49-de8cdff07712', '8 lines, 0 events dropped');
INSERT INTO public.log_entry OVERRIDING SYSTEM VALUE VALUES (6, '2026-11-28 03:31:08.507313+00', 'parselog-worker-21616', 'fell-back', 2, 2, '01a22034-e9a1-723d-9f49-de8cdff07712', 'failed to upload the log: failed to store file://@HOME@/objects/files/data_files/2024/Q1/WI/letters/all/parsing_logs/parse-datafile-2-20261128T033108Z-01a22034-e9a1-723d-9f49-de8cdff07712.log.gz: failed to make the folder @HOME@/objects/files/data_files/2024/Q1/WI/letters/all/parsing_logs: File exists (os error 17)');
INSERT INTO public.log_entry OVERRIDING SYSTEM VALUE VALUES (7, '2026-11-28 03:31:09.51159+00', 'ann', 'submitted', 3, 3, '01a22034-ee45-7edd-a360-fb530db627c5', NULL);
INSERT INTO public.log_entry OVERRIDING SYSTEM VALUE VALUES (8, '2026-11-28 03:31:09.530744+00', 'parselog-worker-21765', 'log-sealed', 3, 3, '01a22034-ee45-7edd-a360-fb530db627c5', '8 lines, 0 events dropped');
INSERT INTO public.log_entry OVERRIDING SYSTEM VALUE VALUES (9, '2026-11-28 03:31:09.595675+00', 'ann', 'submitted', 4, 4, '01a22034-ee9a-71df-8834-aef975d6820d', NULL);
INSERT INTO public.log_entry OVERRIDING SYSTEM VALUE VALUES (10, '2026-11-28 03:31:13.601642+00', 'ann', 'submitted', 5, 5, '01a22034-fe3f-7efd-baaa-e152ad56ac28', NULL);


--
-- Data for Name: log_follow; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: log_piece; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: notice; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: notice_watch; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: parse_file_meta; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.parse_file_meta VALUES ('01a22034-e91b-7716-8338-44356a33fff8', 1, 1, 'submission', DEFAULT, 1, 1, 'success', 100, '2026-11-28 03:31:08.183005+00', '2026-11-28 03:31:08.183005+00', '2026-11-28 03:31:08.195979+00', '2026-11-28 03:31:08.207776+00', '2026-11-28 05:31:08.195979+00', 'worker-21569', '6412df52-beee-4884-b199-ab1c15ebf65f', NULL, '2026-11-28 03:31:08.195979+00', NULL, NULL, NULL, 'Partially Accepted with Errors', 48, 42, '{"T1": 10, "T2": 10, "T3": 22}', '{"2": 2, "3": 2, "4": 3, "7": 2}', '{"202010": {"2": 1, "3": 1, "7": 1}, "202011": {"2": 1, "4": 2}, "202012": {"3": 1, "4": 1}}', 9, 2, 'item 12 FAMILY_TYPE is 7 and must be between 1 and 3', 'archived', 'file://@HOME@/objects/files/data_files/2021/Q1/06/tanf/active/parsing_logs/parse-datafile-1-20261128T033108Z-01a22034-e91b-7716-8338-44356a33fff8.log.gz?versionId=01a22034-e934-7305-8d05-9350bef4e4ce', 5909, 1542, 20, '{"INFO": 9, "WARN": 7, "ERROR": 2}', 0, '\xb81c7f2cc324eb3f44325eb2ce94804b5a64c164e20a329fddc3344b7eda698a', '\xf299e4c8a554f8193cbd27deb17fcc74d4306202c207902eaed90ad34b13b2db', '2026-11-28 03:31:08.215111+00', NULL, 0, '{"months": {"202010": {"accepted_with_errors": 2, "accepted_without_errors": 2}, "202011": {"accepted_with_errors": 1, "accepted_without_errors": 2}, "202012": {"accepted_with_errors": 1, "accepted_without_errors": 2}}, "rejected": 5}');
INSERT INTO public.parse_file_meta VALUES ('01a22034-e9a1-723d-9f49-de8cdff07712', 2, 2, 'submission', DEFAULT, 1, 3, 'success', 100, '2026-11-28 03:31:08.312687+00', '2026-11-28 03:31:08.312687+00', '2026-11-28 03:31:08.419239+00', '2026-11-28 03:31:08.46902+00', '2026-11-28 05:31:08.419239+00', 'worker-21616', 'a1fa8e3f-8cb4-4918-be6b-9032df823d61', NULL, '2026-11-28 03:31:08.419239+00', NULL, NULL, NULL, 'Accepted with Errors', NULL, NULL, '{}', '{"2": 3}', '{}', 3, 1, 'letter A', 'fallback', NULL, 2160, NULL, 8, '{"INFO": 3, "WARN": 3}', 0, NULL, NULL, NULL, 'failed to upload the log: failed to store file://@HOME@/objects/files/data_files/2024/Q1/WI/letters/all/parsing_logs/parse-datafile-2-20261128T033108Z-01a22034-e9a1-723d-9f49-de8cdff07712.log.gz: failed to make the folder @HOME@/objects/files/data_files/2024/Q1/WI/letters/all/parsing_logs: File exists (os error 17)', 2, '{"months": {}, "rejected": 0}');
INSERT INTO public.parse_file_meta VALUES ('01a22034-ee45-7edd-a360-fb530db627c5', 3, 3, 'submission', DEFAULT, 1, 1, 'success', 100, '2026-11-28 03:31:09.505783+00', '2026-11-28 03:31:09.505783+00', '2026-11-28 03:31:09.513184+00', '2026-11-28 03:31:09.525847+00', '2026-11-28 05:31:09.513184+00', 'worker-21765', '5bbf3a1b-0405-4728-9092-8058288e1244', NULL, '2026-11-28 03:31:09.513184+00', NULL, NULL, NULL, 'Accepted with Errors', NULL, NULL, '{}', '{"2": 3}', '{}', 3, 1, 'letter A', 'sealed', NULL, 2156, NULL, 8, '{"INFO": 3, "WARN": 3}', 0, NULL, NULL, NULL, NULL, 0, '{"months": {}, "rejected": 0}');
INSERT INTO public.parse_file_meta VALUES ('01a22034-ee9a-71df-8834-aef975d6820d', 4, 4, 'submission', DEFAULT, 1, 1, 'running', 100, '2026-11-28 03:31:09.589934+00', '2026-11-28 03:31:09.589934+00', '2026-11-28 03:31:09.59779+00', NULL, '2026-11-28 05:31:09.59779+00', 'worker-21782', '8e7ac155-43c5-4bc7-858c-7e0312ec7687', '2026-11-28 03:31:24.59779+00', '2026-11-28 03:31:09.59779+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'open', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL);
INSERT INTO public.parse_file_meta VALUES ('01a22034-fe3f-7efd-baaa-e152ad56ac28', 5, 5, 'submission', DEFAULT, 1, 1, 'running', 100, '2026-11-28 03:31:13.596+00', '2026-11-28 03:31:13.596+00', '2026-11-28 03:31:13.606026+00', NULL, '2026-11-28 05:31:13.606026+00', 'worker-22214', '0f48f58f-6ef5-4a76-9389-2f59b60c474b', '2026-11-28 03:31:28.606026+00', '2026-11-28 03:31:13.606026+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'open', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL);


--
-- Data for Name: parse_meta; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.parse_meta OVERRIDING SYSTEM VALUE VALUES (1, 'submission', 'ann', NULL, NULL, '2026-11-28 03:31:08.183005+00', NULL, '2026-11-28 03:31:08.207776+00');
INSERT INTO public.parse_meta OVERRIDING SYSTEM VALUE VALUES (2, 'submission', 'ann', NULL, NULL, '2026-11-28 03:31:08.312687+00', NULL, '2026-11-28 03:31:08.46902+00');
INSERT INTO public.parse_meta OVERRIDING SYSTEM VALUE VALUES (3, 'submission', 'ann', NULL, NULL, '2026-11-28 03:31:09.505783+00', NULL, '2026-11-28 03:31:09.525847+00');
INSERT INTO public.parse_meta OVERRIDING SYSTEM VALUE VALUES (4, 'submission', 'ann', NULL, NULL, '2026-11-28 03:31:09.589934+00', NULL, NULL);
INSERT INTO public.parse_meta OVERRIDING SYSTEM VALUE VALUES (5, 'submission', 'ann', NULL, NULL, '2026-11-28 03:31:13.596+00', NULL, NULL);


--
-- Data for Name: run_action; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.run_action OVERRIDING SYSTEM VALUE VALUES (1, '01a22034-e91b-7716-8338-44356a33fff8', 'parse', 'run', '2026-11-28 03:31:08.199523+00', 'worker-21569', 'attempt 1 of 1');
INSERT INTO public.run_action OVERRIDING SYSTEM VALUE VALUES (2, '01a22034-e91b-7716-8338-44356a33fff8', 'parse', 'success', '2026-11-28 03:31:08.208774+00', 'worker-21569', 'Partially Accepted with Errors');
INSERT INTO public.run_action OVERRIDING SYSTEM VALUE VALUES (3, '01a22034-e9a1-723d-9f49-de8cdff07712', 'parse', 'run', '2026-11-28 03:31:08.428044+00', 'worker-21616', 'attempt 1 of 3');
INSERT INTO public.run_action OVERRIDING SYSTEM VALUE VALUES (4, '01a22034-e9a1-723d-9f49-de8cdff07712', 'parse', 'success', '2026-11-28 03:31:08.472007+00', 'worker-21616', 'Accepted with Errors');
INSERT INTO public.run_action OVERRIDING SYSTEM VALUE VALUES (5, '01a22034-ee45-7edd-a360-fb530db627c5', 'parse', 'run', '2026-11-28 03:31:09.514386+00', 'worker-21765', 'attempt 1 of 1');
INSERT INTO public.run_action OVERRIDING SYSTEM VALUE VALUES (6, '01a22034-ee45-7edd-a360-fb530db627c5', 'parse', 'success', '2026-11-28 03:31:09.526535+00', 'worker-21765', 'Accepted with Errors');
INSERT INTO public.run_action OVERRIDING SYSTEM VALUE VALUES (7, '01a22034-ee9a-71df-8834-aef975d6820d', 'parse', 'run', '2026-11-28 03:31:09.59905+00', 'worker-21782', 'attempt 1 of 1');
INSERT INTO public.run_action OVERRIDING SYSTEM VALUE VALUES (8, '01a22034-fe3f-7efd-baaa-e152ad56ac28', 'parse', 'run', '2026-11-28 03:31:13.609813+00', 'worker-22214', 'attempt 1 of 1');


--
-- Name: data_file_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.data_file_id_seq', 5, true);


--
-- Name: log_entry_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.log_entry_id_seq', 10, true);


--
-- Name: notice_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.notice_id_seq', 1, false);


--
-- Name: parse_meta_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.parse_meta_id_seq', 5, true);


--
-- Name: run_action_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.run_action_id_seq', 8, true);


--
-- Name: _sqlx_migrations _sqlx_migrations_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public._sqlx_migrations
    ADD CONSTRAINT _sqlx_migrations_pkey PRIMARY KEY (version);


--
-- Name: data_file data_file_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.data_file
    ADD CONSTRAINT data_file_pkey PRIMARY KEY (id);


--
-- Name: log_entry log_entry_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.log_entry
    ADD CONSTRAINT log_entry_pkey PRIMARY KEY (id);


--
-- Name: log_follow log_follow_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.log_follow
    ADD CONSTRAINT log_follow_pkey PRIMARY KEY (run_id);


--
-- Name: log_piece log_piece_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.log_piece
    ADD CONSTRAINT log_piece_pkey PRIMARY KEY (run_id, at);


--
-- Name: notice notice_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.notice
    ADD CONSTRAINT notice_pkey PRIMARY KEY (id);


--
-- Name: notice_watch notice_watch_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.notice_watch
    ADD CONSTRAINT notice_watch_pkey PRIMARY KEY (only_one);


--
-- Name: parse_file_meta one_row_per_attempt; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.parse_file_meta
    ADD CONSTRAINT one_row_per_attempt UNIQUE (batch_id, data_file_id, attempt);


--
-- Name: parse_file_meta parse_file_meta_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.parse_file_meta
    ADD CONSTRAINT parse_file_meta_pkey PRIMARY KEY (id);


--
-- Name: parse_meta parse_meta_id_kind_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.parse_meta
    ADD CONSTRAINT parse_meta_id_kind_key UNIQUE (id, kind);


--
-- Name: parse_meta parse_meta_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.parse_meta
    ADD CONSTRAINT parse_meta_pkey PRIMARY KEY (id);


--
-- Name: run_action run_action_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.run_action
    ADD CONSTRAINT run_action_pkey PRIMARY KEY (id);


--
-- Name: data_file_name; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX data_file_name ON public.data_file USING btree (name);


--
-- Name: data_file_object; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX data_file_object ON public.data_file USING btree (bucket, key, version_id);


--
-- Name: data_file_over_time; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX data_file_over_time ON public.data_file USING btree (bucket, identity, owner);


--
-- Name: data_file_period; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX data_file_period ON public.data_file USING btree (program, section, fiscal_year, fiscal_quarter);


--
-- Name: data_file_submission; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX data_file_submission ON public.data_file USING btree (submission);


--
-- Name: log_entry_by_entry; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX log_entry_by_entry ON public.log_entry USING btree (entry, id);


--
-- Name: log_entry_of_batch; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX log_entry_of_batch ON public.log_entry USING btree (batch_id, id);


--
-- Name: log_entry_of_file; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX log_entry_of_file ON public.log_entry USING btree (data_file_id, id);


--
-- Name: log_entry_of_run; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX log_entry_of_run ON public.log_entry USING btree (run_id, id);


--
-- Name: notice_errors; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX notice_errors ON public.notice USING btree (id) WHERE ((state = 'queued'::text) AND (kind <> 'result'::text));


--
-- Name: notice_of_run; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX notice_of_run ON public.notice USING btree (run_id);


--
-- Name: notice_results; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX notice_results ON public.notice USING btree (id) WHERE ((state = 'queued'::text) AND (kind = 'result'::text));


--
-- Name: notice_sent; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX notice_sent ON public.notice USING btree (address, sent_at) WHERE (state = 'sent'::text);


--
-- Name: notice_unsent; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX notice_unsent ON public.notice USING btree (id) WHERE (state = ANY (ARRAY['queued'::text, 'sending'::text, 'failed'::text]));


--
-- Name: one_mail_per_condition; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX one_mail_per_condition ON public.notice USING btree (kind, COALESCE((run_id)::text, (batch_id)::text), address);


--
-- Name: one_running_per_file; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX one_running_per_file ON public.parse_file_meta USING btree (data_file_id) WHERE (status = 'running'::text);


--
-- Name: parse_file_meta_claim; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX parse_file_meta_claim ON public.parse_file_meta USING btree (priority, run_after, id) WHERE (status = 'queued'::text);


--
-- Name: parse_file_meta_ended; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX parse_file_meta_ended ON public.parse_file_meta USING btree (finished_at) WHERE (finished_at IS NOT NULL);


--
-- Name: parse_file_meta_of_batch; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX parse_file_meta_of_batch ON public.parse_file_meta USING btree (batch_id, id);


--
-- Name: parse_file_meta_of_file; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX parse_file_meta_of_file ON public.parse_file_meta USING btree (data_file_id, id);


--
-- Name: parse_file_meta_open; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX parse_file_meta_open ON public.parse_file_meta USING btree (batch_id) WHERE (status = ANY (ARRAY['queued'::text, 'running'::text]));


--
-- Name: parse_file_meta_suffix; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX parse_file_meta_suffix ON public.parse_file_meta USING btree (reverse((id)::text) text_pattern_ops);


--
-- Name: parse_file_meta_unarchived; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX parse_file_meta_unarchived ON public.parse_file_meta USING btree (id) WHERE (log_state = ANY (ARRAY['fallback'::text, 'lost'::text]));


--
-- Name: parse_meta_unfinished; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX parse_meta_unfinished ON public.parse_meta USING btree (id) WHERE (finished_at IS NULL);


--
-- Name: run_action_of_run; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX run_action_of_run ON public.run_action USING btree (run_id, id);


--
-- Name: run_action_of_task; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX run_action_of_task ON public.run_action USING btree (task, action, id);


--
-- Name: log_entry append_only; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON public.log_entry FOR EACH ROW EXECUTE FUNCTION public.parselog_append_only();


--
-- Name: run_action append_only; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON public.run_action FOR EACH ROW EXECUTE FUNCTION public.parselog_append_only();


--
-- Name: log_entry append_only_as_a_whole; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER append_only_as_a_whole BEFORE TRUNCATE ON public.log_entry FOR EACH STATEMENT EXECUTE FUNCTION public.parselog_append_only();


--
-- Name: run_action append_only_as_a_whole; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER append_only_as_a_whole BEFORE TRUNCATE ON public.run_action FOR EACH STATEMENT EXECUTE FUNCTION public.parselog_append_only();


--
-- Name: parse_file_meta begins_queued; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER begins_queued BEFORE INSERT ON public.parse_file_meta FOR EACH ROW WHEN ((new.status <> 'queued'::text)) EXECUTE FUNCTION public.parse_file_meta_guard();


--
-- Name: parse_file_meta goes_forward; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER goes_forward BEFORE UPDATE OF id, data_file_id, batch_id, kind, attempt, status ON public.parse_file_meta FOR EACH ROW EXECUTE FUNCTION public.parse_file_meta_guard();


--
-- Name: parse_file_meta records_action; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER records_action AFTER UPDATE OF status ON public.parse_file_meta FOR EACH ROW WHEN ((old.status IS DISTINCT FROM new.status)) EXECUTE FUNCTION public.parse_file_meta_action();


--
-- Name: log_entry log_entry_batch_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.log_entry
    ADD CONSTRAINT log_entry_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES public.parse_meta(id);


--
-- Name: log_entry log_entry_data_file_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.log_entry
    ADD CONSTRAINT log_entry_data_file_id_fkey FOREIGN KEY (data_file_id) REFERENCES public.data_file(id);


--
-- Name: log_entry log_entry_run_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.log_entry
    ADD CONSTRAINT log_entry_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.parse_file_meta(id);


--
-- Name: log_follow log_follow_run_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.log_follow
    ADD CONSTRAINT log_follow_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.parse_file_meta(id);


--
-- Name: log_piece log_piece_run_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.log_piece
    ADD CONSTRAINT log_piece_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.log_follow(run_id) ON DELETE CASCADE;


--
-- Name: notice notice_batch_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.notice
    ADD CONSTRAINT notice_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES public.parse_meta(id);


--
-- Name: notice notice_run_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.notice
    ADD CONSTRAINT notice_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.parse_file_meta(id);


--
-- Name: parse_file_meta parse_file_meta_batch_id_kind_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.parse_file_meta
    ADD CONSTRAINT parse_file_meta_batch_id_kind_fkey FOREIGN KEY (batch_id, kind) REFERENCES public.parse_meta(id, kind);


--
-- Name: parse_file_meta parse_file_meta_data_file_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.parse_file_meta
    ADD CONSTRAINT parse_file_meta_data_file_id_fkey FOREIGN KEY (data_file_id) REFERENCES public.data_file(id);


--
-- Name: run_action run_action_run_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.run_action
    ADD CONSTRAINT run_action_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.parse_file_meta(id);


--
-- PostgreSQL database dump complete
--


