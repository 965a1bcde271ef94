# shellcheck shell=sh disable=SC2034
# Where the database, the blobs and the salt of a service lie: read by backup.sh and restore.sh, which must agree.

set -eu
umask 077

die() { echo "$(basename "$0"): $*" >&2; exit 1; }

data=${DRAS_DATA:-$HOME/.local/share/dras}
blobs=${DRAS_BLOBS__FOLDER:-$data/blobs}
store=${DRAS_STORE__URL:-sqlite:///$data/jobs.sqlite3}
salt=${DRAS_AUTHENTICATION__SALT_FILE:-$data/salt}
url=${DRAS_BLOBS__URL:-}
bucket=":s3,env_auth,endpoint='${DRAS_BLOBS__ENDPOINT:-}':${url#s3://}" # as rclone names it

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
