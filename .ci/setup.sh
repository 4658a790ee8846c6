# shellcheck shell=bash
# Sourced by demo, check, fix, .ci/run and sim/processes: finds what a build needs, installs what it may, never asks.

say() { printf '%s\n' "$*" >&2; }

die() {
    say "${0##*/}: $*"
    exit 1
}

# Installs Debian packages as root or through a sudo that needs no password; otherwise prints the one line to
# run and stops.
install_packages() {
    local as=()
    if ! command -v apt-get >/dev/null 2>&1; then
        die "missing: $*; install them with this system's package manager, then run this again"
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! { command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; }; then
            die "run this first: sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
        fi
        as=(sudo -n)
    fi
    say "installing $*"
    "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null >&2
    "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >&2
}

# Puts cargo on the PATH and checks that it is new enough for this workspace.
need_cargo() {
    local cargo_home=${CARGO_HOME:-${HOME:-}/.cargo}
    if ! command -v cargo >/dev/null 2>&1; then
        PATH="$cargo_home/bin:$PATH"
        export PATH
    fi
    command -v cargo >/dev/null 2>&1 || die "cargo is missing; install Rust with rustup, then run this again"
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    found=$(rustc --version | cut -d ' ' -f 2)
    if [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | sed -n 1p)" != "$wanted" ]; then
        die "Rust $wanted or newer is needed, this is $found; with rustup: rustup update stable"
    fi
}

# The linker and the C parts of zstd and blake3 need a C compiler; cargo's downloads need certificates.
need_compiler() {
    command -v cc >/dev/null 2>&1 || install_packages gcc libc6-dev ca-certificates
}

# rustfmt and clippy, which a minimal toolchain lacks.
need_lints() {
    if ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
        command -v rustup >/dev/null 2>&1 || die "cargo fmt or cargo clippy is missing; install rustfmt and clippy"
        rustup component add rustfmt clippy >&2
    fi
}

# Where cargo puts what it builds, whichever way that was configured.
target_directory() {
    cargo metadata --locked --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
}

# Builds net-db, unless NETDB_PROGRAM names one, and leaves its path in $net_db.
build_net_db() {
    if [ -n "${NETDB_PROGRAM:-}" ]; then
        [ -x "$NETDB_PROGRAM" ] || die "NETDB_PROGRAM names no program: $NETDB_PROGRAM"
        net_db=$NETDB_PROGRAM
        # A server takes its settings from such variables, and does not know this one.
        unset NETDB_PROGRAM
        return
    fi
    need_cargo
    need_compiler
    net_db=$(target_directory)/demo/net-db
    if [ ! -x "$net_db" ]; then
        printf 'The first build compiles some 300 crates, a SQL engine among them: about 15 minutes on two cores,\n'
        printf 'less on more. Later builds take seconds.\n'
    fi
    cargo build --locked --profile demo -p netdb-cli
    [ -x "$net_db" ] || die "the build left no $net_db"
}
