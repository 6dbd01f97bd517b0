#!/bin/sh
# Prepare this checkout for a target of the Makefile: the system's packages, then the virtual environment .venv.
#
#     sh scripts/prepare.sh [dev|test]
#
# Without an argument the program alone is installed, with one what its tests or its developers need as well.
# As root, missing packages are installed with apt-get; otherwise one sentence names them.  An environment
# that is half made, was moved, or belongs to another Python is made anew.  Whatever is there already is left
# alone, so that a second call takes a moment and needs no network.
set -eu
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
extra=${1:-}
environment=$PWD/.venv

# What the tests drive, as Debian 12 and later name it.
# libatomic1: the node that playwright brings along needs it, and Debian's minimal system lacks it.
test_packages="acl bindfs btrfs-progs chromium e2fsprogs exfat-fuse exfatprogs fonts-noto-cjk fuse3 git git-lfs libatomic1
    mount openssh-client openssh-server openssl procps rclone rsync samba sshfs strace syncthing systemd util-linux
    util-linux-extra vsftpd xfsprogs"

stop() {
    echo "$1" >&2
    exit 1
}

install_packages() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing with apt-get: $*" >&2
        export DEBIAN_FRONTEND=noninteractive
        # Without the lists of packages, as on a fresh machine, nothing can be found.  Two checkouts may be prepared at
        # once, and apt-get gives up where another one runs.
        { flock 9 && apt-get update -q && apt-get install -y -q --no-install-recommends "$@"; } \
            9</var/lib/dpkg >/dev/null ||
            stop "apt-get could not install $*; its own message is above. Install them, and run make again."
    else
        return 1
    fi
}

missing_packages() {
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s ' "$package"
    done
}

require_python() {
    # Inside an active environment this is the Python below it: that one stays when .venv is made anew.
    base=$("$PYTHON" -c 'import sys; print(sys._base_executable)' 2>/dev/null) ||
        stop "$PYTHON does not run. Install python3, or name another one: make PYTHON=/path/to/python3"
    "$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        stop "$base is older than Python 3.11. Name a newer one: make PYTHON=/path/to/python3"
    # Debian splits ensurepip off; without it "python3 -m venv" leaves half an environment behind.
    "$base" -c 'import ensurepip, venv' 2>/dev/null && return
    package=$("$base" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    [ "$PYTHON" != python3 ] || package=python3-venv
    install_packages "$package" ||
        stop "$base lacks what virtual environments need. As root, run: apt-get install $package"
}

require_git() {
    command -v git >/dev/null || install_packages git || stop "git is missing. As root, run: apt-get install git"
}

require_test_packages() {
    command -v dpkg-query >/dev/null || {
        echo "This is not a Debian: tests whose tools are missing are skipped, and named at the end." >&2
        return
    }
    # shellcheck disable=SC2046,SC2086
    set -- $(missing_packages $test_packages)
    [ $# -eq 0 ] || install_packages "$@" || echo "Tests will be skipped for what is missing. As root, run:" \
        "apt-get install --no-install-recommends $*" >&2
}

# Its own path is written into an environment's scripts, and the Python's version into its folders.
fingerprint() {
    echo "$environment $("$base" -c 'import sys; print(sys.base_prefix, sys.version.replace("\n", " "))')"
}

make_environment() {
    if [ "$(cat "$environment/made-for" 2>/dev/null)" = "$(fingerprint)" ] &&
        "$environment/bin/python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    check_writable
    rm -rf "$environment"
    "$base" -m venv "$environment" || stop "$base could not make $environment; its own message is above."
    fingerprint >"$environment/made-for"
}

check_writable() {
    if [ -e "$environment" ] && [ ! -w "$environment" ]; then
        stop "$environment belongs to another user. As that user or as root, run: rm -rf '$environment'"
    fi
    [ -w . ] || stop "$PWD belongs to another user. Make a clone of your own, and run make there."
}

is_installed() {
    for stamp in "$@"; do
        [ "$environment/$stamp" -nt setup.cfg ] && return
    done
    return 1
}

install_program() {
    case $extra in
    "") is_installed installed installed-test installed-dev && return ;;
    test) is_installed installed-test installed-dev && return ;;
    *) is_installed "installed-$extra" && return ;;
    esac
    check_writable
    echo "Installing the program and what it needs into .venv" >&2
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".${extra:+[$extra]}" ||
        stop "pip could not install what is needed; its own message is above. Run make again when that is mended."
    touch "$environment/installed${extra:+-$extra}"
}

require_git
require_python
[ "$extra" != test ] || require_test_packages
make_environment
install_program
