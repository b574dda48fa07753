# shellcheck shell=sh
# What the scripts share; sourced with `top` set to the project's folder.

fail() {
    echo "$(basename -- "$0"): $*" >&2
    exit 1
}

# Prints the folder of an installed PostgreSQL, by the order in which parselog looks: PG_BIN, PATH,
# what scripts/setup put into target/postgres, Debian's folders (newest first), Homebrew's.
find_postgres() {
    found=$(command -v initdb 2>/dev/null || true)
    # shellcheck disable=SC2012 # the names are Debian's own: plain words and numbers
    for folder in "${PG_BIN-}" "${found%/initdb}" "$top/target/postgres/bin" \
        $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV) \
        /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin; do
        if [ -n "$folder" ] && [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then
            echo "$folder"
            return
        fi
    done
    return 1
}
