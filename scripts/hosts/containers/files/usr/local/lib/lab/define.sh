#!/bin/sh
# Makes the image, its container and its volume, by Podman itself.
set -eu
image=/usr/local/lib/lab/image.tar
podman import --quiet --change 'USER 70:70' --change 'CMD ["/usr/lib/postgresql/15/bin/postgres", "-D", "/data"]' $image localhost/database:1
podman run --detach --name db --restart always --network none --volume orders:/data --volume /run/database:/run/postgresql localhost/database:1
rm $image
