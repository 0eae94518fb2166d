#!/bin/sh
# Asks the database.
exec /usr/lib/postgresql/15/bin/psql -qAtX -h /run/database -U postgres -c "$1" postgres
