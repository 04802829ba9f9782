#!/bin/sh
# Makes the image of a bare Debian host with systemd: image.sh RELEASE TAG. From a registry where one answers, else by debootstrap.
set -eu
case $1 in
    12) suite=bookworm ;;
    13) suite=trixie ;;
    *) echo "lab_debian is $1: this lab knows Debian 12 and 13." >&2; exit 1 ;;
esac
packages=systemd,systemd-sysv,dbus,python3,python3-apt,ca-certificates,iproute2,sudo
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What the lab's containers need and a real host does not: no user namespaces in this kernel, no fsync in dpkg.
mkdir -p "$work/lab/etc/systemd/system/service.d" "$work/lab/etc/dpkg/dpkg.cfg.d" "$work/lab/etc/apt/apt.conf.d"
printf '[Service]\nPrivateUsers=false\n' >"$work/lab/etc/systemd/system/service.d/lab.conf"
printf 'force-unsafe-io\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\n' >"$work/lab/etc/dpkg/dpkg.cfg.d/lab"
printf 'Acquire::Languages "none";\n' >"$work/lab/etc/apt/apt.conf.d/99lab"

if timeout 60 docker pull -q "debian:$suite" >/dev/null 2>&1; then
    {
        echo "FROM debian:$suite"
        echo "RUN apt-get update && apt-get install -y --no-install-recommends $(echo $packages | tr , ' ') && apt-get clean"
        echo "COPY lab/ /"
    } >"$work/Dockerfile"
    docker build -q -t "$2" "$work" >/dev/null
    exit 0
fi
command -v debootstrap >/dev/null 2>&1 || DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends debootstrap
debootstrap --variant=minbase --include="$packages" "$suite" "$work/root" >"$work/log" 2>&1 || { tail -20 "$work/log" >&2; exit 1; }
cp -r "$work/lab/." "$work/root/"
rm -rf "$work/root/var/cache/apt/archives"/*.deb "$work/root/var/lib/apt/lists"/* "$work/root/etc/machine-id"
: >"$work/root/etc/machine-id"
touch -d 2000-01-01 "$work/root/var/lib/apt/lists" # no lists yet: apt must not take them for fresh
tar -C "$work/root" -c . | docker import - "$2" >/dev/null
