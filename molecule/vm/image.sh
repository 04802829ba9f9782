#!/bin/sh
# Makes what qemu boots: image.sh RELEASE FOLDER. Debian's cloud kernel and initrd, and a root file system by debootstrap that a key of the folder opens.
# Many packages that the roles want are in it already, for an emulated processor takes minutes to unpack them; that roles install them is shown on
# the containers. Those that a role installs without a start are only downloaded.
installed="aide apparmor apparmor-utils auditd chrony cracklib-runtime cryptsetup-bin curl debsecan git libpam-apparmor libpam-google-authenticator \
    libpam-pwquality libpam-systemd linux-image-cloud-amd64 logrotate lynis needrestart nftables openscap-scanner python3-cryptography ssl-cert tzdata unattended-upgrades"
downloaded="etckeeper fail2ban python3-systemd rsyslog rsyslog-gnutls rsyslog-relp"
set -eu
case $1 in
    12) suite=bookworm ;;
    13) suite=trixie ;;
    *) echo "Debian $1: this scenario knows 12 and 13." >&2; exit 1 ;;
esac
folder=$(realpath -m "$2") root=$(realpath -m "$2")/root
if [ "$folder/ready" -nt "$0" ]; then
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
    packages=systemd,systemd-sysv,dbus,udev,python3,python3-apt,ca-certificates,iproute2,procps,sudo,openssh-server,e2fsprogs,grub2-common
    debootstrap --variant=minbase --include="$packages" "$suite" "$root" >"$folder/debootstrap.log" 2>&1
    : >"$folder/bootstrapped"
fi
echo vm1 >"$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 vm1\n' >"$root/etc/hosts"
echo '/dev/vda / ext4 defaults,errors=remount-ro 0 1' >"$root/etc/fstab"
printf '[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\n' >"$root/etc/systemd/network/lan.network"
printf 'Acquire::Languages "none";\n' >"$root/etc/apt/apt.conf.d/99lab"
printf 'deb http://deb.debian.org/debian %s main\ndeb http://deb.debian.org/debian-security %s-security main\n' "$suite" "$suite" >"$root/etc/apt/sources.list"
# By the host's own processor, with the host's way to names; nothing is started.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 0755 "$root/usr/sbin/policy-rc.d"
cp --dereference /etc/resolv.conf "$root/etc/resolv.conf"
{
    chroot "$root" apt-get update -q
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # lists
    chroot "$root" sh -euc "apt-get dist-upgrade -y -q && apt-get install -y -q --no-install-recommends $installed"
    chroot "$root" apt-get clean
    # shellcheck disable=SC2086 # a list
    chroot "$root" apt-get install -y -q --no-install-recommends --download-only $downloaded
} >"$folder/packages.log" 2>&1
rm "$root/usr/sbin/policy-rc.d"
echo 'nameserver 10.0.2.3' >"$root/etc/resolv.conf"
# What runs once a day does not have to run while the host is looked at.
install -d "$root/var/lib/systemd/timers"
for timer in apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_all fstrim logrotate man-db; do
    : >"$root/var/lib/systemd/timers/stamp-$timer.timer"
done
# qemu boots it without a boot loader; what would be told to GRUB is looked at all the same.
mkdir -p "$root/boot/grub"
printf 'GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX=""\n' >"$root/etc/default/grub"
chroot "$root" systemctl enable -q systemd-networkd.service ssh.service
# The controller's account, as somebody who installs a host makes it.
[ -f "$folder/key" ] || ssh-keygen -q -t ed25519 -N '' -C vm -f "$folder/key"
chroot "$root" id deploy >/dev/null 2>&1 || chroot "$root" useradd --create-home --shell /bin/bash deploy
install -d -m 0700 -o 1000 -g 1000 "$root/home/deploy/.ssh"
install -m 0600 -o 1000 -g 1000 "$folder/key.pub" "$root/home/deploy/.ssh/authorized_keys"
echo 'deploy ALL=(ALL:ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/deploy"
chmod 0440 "$root/etc/sudoers.d/deploy"
: >"$root/etc/machine-id"
touch -d 2000-01-01 "$root/var/lib/apt/lists"
cp "$root/vmlinuz" "$folder/vmlinuz"
cp "$root/initrd.img" "$folder/initrd"
sed 's/^/[127.0.0.1]:2222 /' "$root"/etc/ssh/ssh_host_*_key.pub >"$folder/known_hosts"
cat >"$folder/ssh_config" <<CONFIG
Host vm1
    HostName 127.0.0.1
    Port 2222
    User deploy
    IdentityFile $folder/key
    IdentitiesOnly yes
    BatchMode yes
    ServerAliveInterval 15
    ServerAliveCountMax 40
    StrictHostKeyChecking yes
    HostKeyAlias [127.0.0.1]:2222
    UserKnownHostsFile $folder/known_hosts
CONFIG
mke2fs -q -t ext4 -d "$root" -F "$folder/bare.ext4" 5G
cp --sparse=always "$folder/bare.ext4" "$folder/disk.ext4"
rm -rf "$root"
: >"$folder/ready"
