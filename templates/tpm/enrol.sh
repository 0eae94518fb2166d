#!/bin/sh
# Enrols this machine's TPM for the containers that the lost machine's TPM opened. Runs once, at the first start after a restore,
# and removes itself and the passphrases beside it, whatever comes of it.
set -u
here=/var/lib/lifeboat/tpm
units=/etc/systemd/system
# What is removed at the end leaves the folders around it with the times that they had on the lost machine.
touch -r "$units" "$here/units.time"
touch -r "$units/multi-user.target.wants" "$here/wants.time"
tries=10
while [ ! -e /dev/tpmrm0 ] && [ "$tries" -gt 0 ]; do
    sleep 1
    tries=$((tries - 1))
done
failed=0
while read -r uuid pcrs; do
    device=/dev/disk/by-uuid/$uuid
    PASSWORD=$(cat "$here/$uuid.key")
    export PASSWORD
    if [ ! -e /dev/tpmrm0 ]; then
        echo "Lifeboat: this machine has no TPM; the container $uuid is opened by its passphrases and keys."
    elif cryptsetup open --test-passphrase --token-only --token-type systemd-tpm2 "$device" 2>/dev/null; then
        echo "Lifeboat: the TPM of this machine opens the container $uuid as before."
    # Wiped first: registers of the same values count as enrolled, whichever TPM it was.
    elif systemd-cryptenroll --wipe-slot=tpm2 "$device" && systemd-cryptenroll --tpm2-device=auto --tpm2-pcrs="$pcrs" "$device"; then
        echo "Lifeboat: the TPM of this machine opens the container $uuid."
    else
        echo "Lifeboat: the TPM could not be enrolled for the container $uuid. Its passphrases and keys work as before. Once it can be, run:"
        echo "systemd-cryptenroll --tpm2-device=auto --tpm2-pcrs=$pcrs $device"
        failed=1
    fi
    unset PASSWORD
done <"$here/containers"
rm -f "$here"/*.key
systemctl disable --quiet lifeboat-tpm.service
rm -f "$units/lifeboat-tpm.service"
touch -r "$here/units.time" "$units"
touch -r "$here/wants.time" "$units/multi-user.target.wants"
rm -rf "$here"
exit "$failed"
