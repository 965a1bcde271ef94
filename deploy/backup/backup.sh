#!/bin/sh
# Copies the database and the blobs of a running service into a new folder: backup.sh FOLDER
#
# The database comes first. A blob is written before the row that names it and never changed, so that every row of the
# copy has its blob, unless it was purged in these minutes; what came after is an orphan. `dras fsck --repair` knows both.
#
# Reads DRAS_STORE__URL (PostgreSQL, or SQLite by default), DRAS_DATA, DRAS_BLOBS__FOLDER, DRAS_BLOBS__URL. Needs
# pg_dump for PostgreSQL; blobs in a bucket are copied by rclone to the remote that DRAS_BACKUP_BUCKET names.
# shellcheck source=places.sh source-path=SCRIPTDIR
. "$(dirname "$0")/places.sh"

[ $# -eq 1 ] || die "name one folder to write."
out=$1
[ ! -e "$out" ] || die "$out is there already; name a new folder."
part=$out.part
mkdir -p "$(dirname "$out")"
mkdir "$part" || die "$part is of another backup; remove it if that one has ended."
trap 'rm -rf "$part" "$part.sums"' EXIT
mkdir "$part/blobs"

case $store in
    postgresql*://*)
        eval "$(postgres_variables "$store")"
        pg_dump --format=custom --no-owner --file="$part/database.dump" ;;
    sqlite:///*)
        file=${store#sqlite:///}
        [ -f "$file" ] || die "there is no database at $file."
        python3 -c 'import sqlite3, sys
source, copy = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True), sqlite3.connect(sys.argv[2])
source.backup(copy)
copy.close()' "$file" "$part/database.sqlite3" ;;
    *) die "DRAS_STORE__URL is neither PostgreSQL nor SQLite." ;;
esac

if [ -n "${DRAS_BLOBS__URL:-}" ]; then
    [ -n "${DRAS_BACKUP_BUCKET:-}" ] || die "name where the bucket's copy goes by DRAS_BACKUP_BUCKET, e.g. s3:copies/dras."
    # Objects keep their metadata, which hold their hashes; what is there already is not copied again.
    rclone copy --metadata --immutable "$bucket" "$DRAS_BACKUP_BUCKET"
    echo "$DRAS_BACKUP_BUCKET" > "$part/blobs/bucket"
else
    # A purge may take a file away while it is copied, and fsck says so of the copy; anything else is a fault.
    for folder in studies outputs drafts; do
        [ ! -d "$blobs/$folder" ] || python3 -c 'import os, shutil, sys
try:
    shutil.copytree(*sys.argv[1:])
except shutil.Error as error:
    if faults := [str(reason) for source, _, reason in error.args[0] if os.path.lexists(source)]:
        sys.exit(faults[0])' "$blobs/$folder" "$part/blobs/$folder" || die "the blobs are not copied."
    done
fi
[ ! -f "$salt" ] || cp "$salt" "$part/salt"
(cd "$part" && find . -type f -print0 | sort -z | xargs -0 sha256sum) > "$part.sums"
mv "$part.sums" "$part/SHA256SUMS"
sync
mv "$part" "$out"
echo "$(grep -c . "$out/SHA256SUMS") files are in $out"
