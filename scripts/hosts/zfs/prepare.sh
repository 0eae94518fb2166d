# The pool belongs to this host: without it the pool does not come in without force.
printf '\276\272\376\312' >/etc/hostid
# It starts by systemd-boot on its ESPs, as Proxmox VE's boot tool lays them out.
rm -rf /boot/grub /boot/efi
chown 0:0 /etc/systemd/system/srv-legacy.mount
systemctl --quiet enable srv-legacy.mount
mkdir -p /srv/legacy /srv/guest
