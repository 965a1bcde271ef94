#!/bin/sh
# Puts a folder of backup.sh back into an empty service: restore.sh FOLDER
#
# Stop gateways and workers first. Nothing is written over: a database with tables or a folder with blobs is refused.
# Reads the variables of backup.sh. Start the version of dras that made the backup, or a later one, and run
# `dras fsck --repair` before it takes work.
# shellcheck source=places.sh source-path=SCRIPTDIR
. "$(dirname "$0")/places.sh"

[ $# -eq 1 ] || die "name the folder of a backup."
from=$1
[ -f "$from/SHA256SUMS" ] || die "$from is no whole backup: it has no SHA256SUMS."

(cd "$from" && sha256sum --quiet --check SHA256SUMS) || die "files of $from are not as they were written; take another backup."
for folder in studies outputs drafts; do
    [ -z "$(ls -A "$blobs/$folder" 2>/dev/null)" ] || die "$blobs/$folder is not empty; name another DRAS_BLOBS__FOLDER."
done

case $store in
    postgresql*://*)
        [ -f "$from/database.dump" ] || die "the backup is of SQLite, DRAS_STORE__URL names PostgreSQL."
        eval "$(postgres_variables "$store")"
        tables=$(psql --no-psqlrc --tuples-only --no-align --command \
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'")
        [ "$tables" = 0 ] || die "the database has tables; make an empty one and name it by DRAS_STORE__URL."
        pg_restore --no-owner --single-transaction --exit-on-error --dbname="$PGDATABASE" "$from/database.dump" ;;
    sqlite:///*)
        [ -f "$from/database.sqlite3" ] || die "the backup is of PostgreSQL, DRAS_STORE__URL names SQLite."
        file=${store#sqlite:///}
        [ ! -e "$file" ] || die "$file is there already; move it away."
        mkdir -p "$(dirname "$file")"
        cp "$from/database.sqlite3" "$file" ;;
    *) die "DRAS_STORE__URL is neither PostgreSQL nor SQLite." ;;
esac

if [ -f "$from/blobs/bucket" ]; then
    [ -n "${DRAS_BLOBS__URL:-}" ] || die "the blobs are in a bucket; name the one to fill by DRAS_BLOBS__URL."
    rclone copy --metadata --immutable "$(cat "$from/blobs/bucket")" "$bucket"
else
    mkdir -p "$blobs"
    cp -a "$from/blobs/." "$blobs/"
fi
if [ -f "$from/salt" ] && [ ! -e "$salt" ]; then
    mkdir -p "$(dirname "$salt")"
    cp "$from/salt" "$salt"
fi
echo "restored; run \`dras fsck --repair\` before the service takes work"
