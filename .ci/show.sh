# shellcheck shell=bash
# Sourced by scripts that show what net-db does: how they say it. $net_db is the program.

bold='' dim='' green='' red='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
fi
heading() { printf '\n%s== %s ==%s\n' "$bold" "$1" "$plain"; }
good() { printf '%sok%s  %s\n' "$green" "$plain" "$1"; }
bad() {
    printf '%sFAILED%s  %s\n' "$red" "$plain" "$1"
    exit 1
}

# Prints a command as a user would type it.
show() {
    local word
    printf '%s$ net-db' "$dim"
    for word in "$@"; do
        case $word in
        *' '*) printf " '%s'" "$word" ;;
        *) printf ' %s' "$word" ;;
        esac
    done
    printf '%s\n' "$plain"
}
run() {
    show "$@"
    "$net_db" "$@"
}
