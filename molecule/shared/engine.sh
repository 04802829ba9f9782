#!/bin/sh
# Makes sure that a Docker engine answers. One that runs already is left as it is.
set -eu
docker info >/dev/null 2>&1 && exit 0
if ! command -v dockerd >/dev/null 2>&1; then
    [ "$(id -u)" = 0 ] || { echo "No Docker engine answers. Install docker.io, or run this as root." >&2; exit 1; }
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends docker.io iptables
fi
if [ -d /run/systemd/system ]; then
    systemctl start docker
elif ! docker info >/dev/null 2>&1; then
    mkdir -p "${LAB_STATE:-.lab}"
    setsid dockerd >"${LAB_STATE:-.lab}/dockerd.log" 2>&1 </dev/null &
fi
tries=60
until docker info >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || { echo "dockerd did not answer in 60 s: see ${LAB_STATE:-.lab}/dockerd.log" >&2; exit 1; }
    sleep 1
done
