#!/usr/bin/env bash
# Brings a fresh Debian machine to where everything here runs: .venv, the collection's link, and (but for SETUP_LAB=no) the lab's
# engine and image. Done work is not done again; a run that was killed is finished by the next.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { echo "setup: $*"; }
die() { echo "setup: $*" >&2; exit 1; }

python=${PYTHON:-python3}
lab=${SETUP_LAB:-yes}
image=${LAB_IMAGE:-arxos-lab-debian:${LAB_DEBIAN:-12}}
stamp=.venv/.requirements
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "$python is older than 3.11 (set PYTHON=...)"
venv_ready() { cmp -s requirements.txt "$stamp"; }
image_ready() { timeout 20 docker image inspect "$image" >/dev/null 2>&1; }

# Debian packages that are missing, in one transaction.
missing=()
venv_ready || "$python" -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if [ "$lab" = yes ] && ! image_ready; then
    command -v dockerd >/dev/null || timeout 20 docker info >/dev/null 2>&1 || missing+=(docker.io iptables)
    command -v debootstrap >/dev/null || missing+=(debootstrap)
    # Tests judge the rules of the firewall, and send packets through them.
    [ -x /usr/sbin/nft ] || missing+=(nftables)
fi
if [ ${#missing[@]} -gt 0 ]; then
    [ "$(id -u)" = 0 ] || die "please install ${missing[*]}, or run this as root"
    say "installing ${missing[*]} from Debian"
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
fi

# The engine and its image are made beside the virtual environment: the one waits for a disk, the other for downloads.
make_image() {
    molecule/shared/engine.sh
    image_ready && return
    say "making the image $image (a minute or two)"
    molecule/shared/image.sh "${LAB_DEBIAN:-12}" "$image"
    say "image is there"
}
if [ "$lab" = yes ]; then
    make_image &
    maker=$!
fi

# `.incomplete` is there while pip works: an environment that still has it is built anew.
if ! venv_ready; then
    if [ ! -x .venv/bin/python ] || [ -e .venv/.incomplete ]; then
        say "making .venv with $("$python" --version)"
        "$python" -m venv --clear .venv
    fi
    touch .venv/.incomplete
    say "installing requirements.txt (a minute or two)"
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-compile -r requirements.txt
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
[ "$lab" = no ] || wait "$maker" || die "no image: see above"
