#!/bin/bash
# Runs once, when the server's volume is empty: one database and one role for each service, so that none can read another's.
# The role, its password and the database are taken from the URL that the service itself is given, so they cannot differ.
set -euo pipefail

for secret in credentials webhook_dispatcher wallet_gateway; do
  url=$(</run/secrets/"${secret}_database_url")
  if [[ ! $url =~ ^postgres(ql)?://([a-z_]+):([A-Za-z0-9._~-]+)@[^/]+/([a-z_]+)$ ]]; then
    echo "${secret}_database_url is not postgresql://role:password@host:port/database with plain characters" >&2
    exit 1
  fi
  # By environment, not by argument: arguments can be read in the process list.
  role=${BASH_REMATCH[2]} password=${BASH_REMATCH[3]} database=${BASH_REMATCH[4]} \
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv role role
\getenv password password
\getenv database database
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"database" OWNER :"role";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
SQL
  echo "database ${secret} is ready for its service"
done
