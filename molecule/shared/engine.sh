#!/bin/sh
# Makes sure that a Docker engine answers. One that runs already is left as it is.
set -eu
# Each systemd takes a dozen inotify instances, all of root's: with the kernel's 128 the hosts of a second lab hang half booted.
limit=/proc/sys/fs/inotify/max_user_instances
if [ "$(cat $limit)" -lt 1024 ] && [ -w $limit ]; then
    echo "engine: raising fs.inotify.max_user_instances from $(cat $limit) to 1024 until the next boot"
    echo 1024 >$limit
fi

answers() { timeout 20 docker info >/dev/null 2>&1; }
answers && exit 0
if ! command -v dockerd >/dev/null 2>&1; then
    [ "$(id -u)" = 0 ] || { echo "No Docker engine answers. Install docker.io, or run this as root." >&2; exit 1; }
    echo "engine: installing docker.io from Debian"
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends docker.io iptables >/dev/null
fi
log=/var/log/dockerd.log
if [ -d /run/systemd/system ]; then
    systemctl start docker
    log="journalctl -u docker"
elif ! answers; then
    # A machine that was stopped hard leaves pid files behind; where another process has that number now, dockerd refuses to start.
    for file in /run/docker.pid /run/docker/containerd/containerd.pid; do
        [ -s "$file" ] || continue
        read -r pid <"$file" || true
        grep -qE '^(dockerd|containerd)$' "/proc/$pid/comm" 2>/dev/null || rm -f "$file"
    done
    echo "engine: starting dockerd"
    setsid dockerd >"$log" 2>&1 </dev/null &
fi
tries=60
until answers; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || { echo "dockerd did not answer in 60 s: see $log" >&2; exit 1; }
    sleep 1
done
