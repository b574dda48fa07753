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

# Prints a Python that can make an environment, of a version that the pinned packages are for (3.11 or 3.13).
find_python() {
    for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.13 python3; do
        if "$candidate" -c 'import sys, venv, ensurepip
sys.exit(sys.version_info[:2] not in ((3, 11), (3, 13)))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

# Unpacks Debian's package $1, with the libraries that it names, into folder $2, and tries its program $3 with
# the option $4. That needs no root, only package lists.
unpack_debian() {
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
    if [ "$(id -u)" = 0 ] && [ -z "${apt_updated-}" ]; then
        apt-get update -qq || return 1
        apt_updated=yes
    fi
    scratch=$top/target/setup
    rm -rf "$scratch" "$2"
    mkdir -p "$scratch"
    libraries=$(apt-cache depends "$1" | sed -n 's/^ *Depends: \(lib.*\)/\1/p' | grep -v '^libc6$')
    # shellcheck disable=SC2086 # one word for each library
    (cd "$scratch" && apt-get download -qq "$1" $libraries >/dev/null 2>&1) || return 1
    for package in "$scratch"/*.deb; do
        dpkg -x "$package" "$scratch/root" || return 1
    done
    LD_LIBRARY_PATH=$(echo "$scratch"/root/usr/lib/*-linux-gnu*) "$scratch/root/$3" "$4" >/dev/null 2>&1 || return 1
    mv "$scratch/root" "$2"
    rm -rf "$scratch"
}
