# shellcheck shell=sh
# What start and stop share; sourced by both.

fail() {
    echo "localstack: $*" >&2
    exit 1
}

# Prints the id of the LocalStack that was started in folder $1, if it still runs. The command
# line is compared, so that a stale pid file never names somebody else's process.
running_pid() {
    pid=$(cat "$1/pid" 2>/dev/null) || return 1
    kill -0 "$pid" 2>/dev/null || return 1
    if [ -r "/proc/$pid/cmdline" ]; then
        command=$(tr '\0' ' ' <"/proc/$pid/cmdline")
    else
        command=$(ps -o args= -p "$pid")
    fi
    case $command in
    *"$1/venv/"*localstack.runtime.main*) echo "$pid" ;;
    *) return 1 ;;
    esac
}
