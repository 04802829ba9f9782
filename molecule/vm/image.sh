#!/bin/sh
# Makes what qemu boots: image.sh RELEASE FOLDER. Debian's cloud kernel and initrd, and a root file system by debootstrap that a key of the folder opens.
set -eu
case $1 in
    12) suite=bookworm ;;
    13) suite=trixie ;;
    *) echo "Debian $1: this scenario knows 12 and 13." >&2; exit 1 ;;
esac
folder=$(realpath -m "$2") root=$(realpath -m "$2")/root
if [ -f "$folder/ready" ]; then
    # Bare again: what an earlier run left in the file system is gone with it.
    cp --sparse=always "$folder/bare.ext4" "$folder/disk.ext4"
    exit 0
fi
mkdir -p "$folder"
missing=
for package in debootstrap qemu-system-x86 e2fsprogs; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    apt-get update -q >/dev/null
    # shellcheck disable=SC2086 # a list
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null
fi
if [ ! -f "$root/etc/debian_version" ] || [ ! -f "$folder/bootstrapped" ]; then
    rm -rf "$root"
    packages=linux-image-cloud-amd64,systemd,systemd-sysv,dbus,udev,python3,python3-apt,ca-certificates,iproute2,procps,sudo,openssh-server,e2fsprogs,grub2-common
    debootstrap --variant=minbase --include="$packages" "$suite" "$root" >"$folder/debootstrap.log" 2>&1
    : >"$folder/bootstrapped"
fi
echo vm1 >"$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 vm1\n' >"$root/etc/hosts"
echo '/dev/vda / ext4 defaults,errors=remount-ro 0 1' >"$root/etc/fstab"
printf '[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\n' >"$root/etc/systemd/network/lan.network"
echo 'nameserver 10.0.2.3' >"$root/etc/resolv.conf"
printf 'Acquire::Languages "none";\n' >"$root/etc/apt/apt.conf.d/99lab"
case $suite in
    bookworm) echo "deb http://deb.debian.org/debian bookworm main" ;;
    trixie) echo "deb http://deb.debian.org/debian trixie main" ;;
esac >"$root/etc/apt/sources.list"
chroot "$root" systemctl enable -q systemd-networkd.service ssh.service
# The controller's account, as somebody who installs a host makes it.
[ -f "$folder/key" ] || ssh-keygen -q -t ed25519 -N '' -C vm -f "$folder/key"
chroot "$root" id deploy >/dev/null 2>&1 || chroot "$root" useradd --create-home --shell /bin/bash deploy
install -d -m 0700 -o 1000 -g 1000 "$root/home/deploy/.ssh"
install -m 0600 -o 1000 -g 1000 "$folder/key.pub" "$root/home/deploy/.ssh/authorized_keys"
echo 'deploy ALL=(ALL:ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/deploy"
chmod 0440 "$root/etc/sudoers.d/deploy"
rm -rf "$root/var/cache/apt/archives"/*.deb "$root/var/lib/apt/lists"/*
: >"$root/etc/machine-id"
touch -d 2000-01-01 "$root/var/lib/apt/lists"
cp "$root"/boot/vmlinuz-* "$folder/vmlinuz"
cp "$root"/boot/initrd.img-* "$folder/initrd"
sed 's/^/[127.0.0.1]:2222 /' "$root"/etc/ssh/ssh_host_*_key.pub >"$folder/known_hosts"
cat >"$folder/ssh_config" <<CONFIG
Host vm1
    HostName 127.0.0.1
    Port 2222
    User deploy
    IdentityFile $folder/key
    IdentitiesOnly yes
    BatchMode yes
    StrictHostKeyChecking yes
    HostKeyAlias [127.0.0.1]:2222
    UserKnownHostsFile $folder/known_hosts
CONFIG
mke2fs -q -t ext4 -d "$root" -F "$folder/bare.ext4" 5G
cp --sparse=always "$folder/bare.ext4" "$folder/disk.ext4"
rm -rf "$root"
: >"$folder/ready"
