-- The workers, as each says of itself at every heartbeat. Nothing needs it to survive: a worker says it again.
create unlogged table worker (
    id uuid primary key,
    name text not null,
    started_at timestamptz not null default now(),
    seen_at timestamptz not null default now(),
    beat interval not null,                     -- how often it says so
    slots integer not null,
    busy integer not null default 0,            -- of its slots
    takes text[] not null,                      -- what it has a parser for: program/section, with * for any
    stopped_at timestamptz
) with (fillfactor = 50);                       -- room for heartbeats on the same page

-- For what ended lately.
create index parse_file_meta_finished on parse_file_meta (finished_at);
