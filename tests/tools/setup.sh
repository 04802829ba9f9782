#!/usr/bin/env bash
# Brings a fresh Debian machine to where everything here runs: .venv, the collection's link, the lab's engine and image.
# Done work is not done again; a run that was killed is finished by the next.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { echo "setup: $*"; }

apt_packages() {
    [ "$(id -u)" = 0 ] || { echo "setup: please install: $*  (or run this as root)" >&2; exit 1; }
    say "installing $* from Debian"
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >/dev/null
}

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "setup: $python is older than 3.11 (set PYTHON=...)" >&2; exit 1; }

# The virtual environment. `.incomplete` is there while pip works: an environment that still has it is built anew.
stamp=.venv/.requirements
if ! cmp -s requirements.txt "$stamp"; then
    "$python" -c 'import ensurepip' 2>/dev/null || apt_packages python3-venv
    if [ ! -x .venv/bin/python ] || [ -e .venv/.incomplete ]; then
        say "making .venv with $("$python" --version)"
        "$python" -m venv --clear .venv
    fi
    touch .venv/.incomplete
    say "installing requirements.txt (a minute or two)"
    .venv/bin/python -m pip install -q --disable-pip-version-check -r requirements.txt
    rm .venv/.incomplete
    cp requirements.txt "$stamp"
fi

# Ansible finds the collection by its name only at such a path.
link=.ansible/collections/ansible_collections/arxos/platform
if [ "$(readlink -f "$link" || true)" != "$PWD" ]; then
    mkdir -p "$(dirname "$link")"
    ln -sfn "$PWD" "$link"
fi
mkdir -p .ansible/tmp .lab/logs dist

[ "${SETUP_LAB:-yes}" = yes ] || exit 0
molecule/shared/engine.sh
release=${LAB_DEBIAN:-12}
image=${LAB_IMAGE:-arxos-lab-debian:$release}
if ! docker image inspect "$image" >/dev/null 2>&1; then
    say "making the image $image (a minute or two)"
    molecule/shared/image.sh "$release" "$image"
fi
