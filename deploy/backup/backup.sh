#!/bin/sh
# Copies the database and the blobs of a running service into a new folder: backup.sh FOLDER
#
# The database comes first. A blob is written before the row that names it and never changed, so that every row of the
# copy has its blob, unless it was purged in these minutes; what came after is an orphan. `dras fsck --repair` knows both.
#
# Reads DRAS_STORE__URL (PostgreSQL, or SQLite by default), DRAS_DATA, DRAS_BLOBS__FOLDER, DRAS_BLOBS__URL. Needs
# pg_dump for PostgreSQL; blobs in a bucket are copied by rclone to the remote that DRAS_BACKUP_BUCKET names.
set -eu
umask 077

die() { echo "backup.sh: $*" >&2; exit 1; }

# SQLAlchemy's address for the variables that PostgreSQL's programs read: arguments can be read by everybody.
postgres_variables() {
    python3 -c 'import shlex, sys, urllib.parse as u
parts = u.urlsplit(sys.argv[1])
given = {"PGHOST": parts.hostname, "PGPORT": parts.port, "PGUSER": parts.username, "PGPASSWORD": parts.password}
given["PGDATABASE"] = parts.path.lstrip("/")
given |= {"PG" + name.upper(): value for name, value in u.parse_qsl(parts.query)}
for name, value in given.items():
    if value:
        print(f"export {name}={shlex.quote(u.unquote(str(value)))}")' "$1"
}

[ $# -eq 1 ] || die "name one folder to write."
out=$1
[ ! -e "$out" ] || die "$out is there already; name a new folder."
data=${DRAS_DATA:-$HOME/.local/share/dras}
blobs=${DRAS_BLOBS__FOLDER:-$data/blobs}
store=${DRAS_STORE__URL:-sqlite:///$data/jobs.sqlite3}
part=$out.part
mkdir -p "$part/blobs"

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
    rclone copy --metadata --immutable ":s3,env_auth,endpoint='${DRAS_BLOBS__ENDPOINT:-}':${DRAS_BLOBS__URL#s3://}" \
        "$DRAS_BACKUP_BUCKET"
    echo "$DRAS_BACKUP_BUCKET" > "$part/blobs/bucket"
else
    # A purge may take a file away while it is copied; fsck says so of the copy.
    for folder in studies outputs drafts; do
        [ ! -d "$blobs/$folder" ] || cp -a "$blobs/$folder" "$part/blobs/" || true
    done
fi
if [ -f "${DRAS_AUTHENTICATION__SALT_FILE:-$data/salt}" ]; then
    cp "${DRAS_AUTHENTICATION__SALT_FILE:-$data/salt}" "$part/salt"
fi
(cd "$part" && find . -type f -print0 | sort -z | xargs -0 sha256sum) > "$part.sums"
mv "$part.sums" "$part/SHA256SUMS"
sync
mv "$part" "$out"
echo "$(grep -c . "$out/SHA256SUMS") files are in $out"
