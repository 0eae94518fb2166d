# Nothing may put GRUB back.
dpkg --purge grub2-common
