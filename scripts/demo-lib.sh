# shellcheck shell=sh
# What the demo and the stories share; sourced with `top` set to the project's folder. It makes a folder with a home,
# a database and objects of its own, whatever the environment says, and leaves nothing behind.

parselog=${PARSELOG:-$top/target/debug/parselog}
work=$(mktemp -d "${TMPDIR:-/tmp}/parselog-demo.XXXXXX")

finish() {
    status=$?
    trap - EXIT INT TERM HUP
    "$parselog" db stop >/dev/null 2>&1 || true
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# A home, a database and a folder for objects of its own, whatever the environment says.
unset DATABASE_URL PARSELOG_BUCKET PARSELOG_SPOOL PARSELOG_PARSERS
export PARSELOG_HOME="$work/home" PARSELOG_GLOBAL_LEVEL=error
mkdir "$work/home"
cd "$work" || exit

say() {
    printf '\n\n== %s\n' "$*"
}

# Shows a command and runs it.
run() {
    printf '\n$ parselog'
    for word in "$@"; do
        case $word in
        *' '*) printf " '%s'" "$word" ;;
        *) printf ' %s' "$word" ;;
        esac
    done
    printf '\n'
    "$parselog" "$@"
}
