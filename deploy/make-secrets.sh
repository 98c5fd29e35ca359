#!/usr/bin/env bash
# Makes the secret files that docker-compose.yml reads, each only where it is missing, so it may be run again at any time.
#   deploy/make-secrets.sh [folder]          default: deploy/secrets (CAUSEWAY_SECRETS_DIR)
# Needs the credentials image (docker compose build): the three keys come from the service that owns their format.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-${CAUSEWAY_SECRETS_DIR:-deploy/secrets}}
image=causeway/credentials:${CAUSEWAY_VERSION:-local}

# The folder shuts everybody else on this host out. The files inside must be readable by the containers' own users (10001 for the
# services, 999 for the engines), who see a file alone and never this folder: that is why they are not 0600.
umask 077
mkdir -p "$folder"
chmod 700 "$folder"

missing() { [[ ! -s $folder/$1 ]]; }
keep() { # keep NAME: write standard input, complete or not at all
  cat >"$folder/.$1.new"
  [[ -s $folder/.$1.new ]] || { echo "$1 came out empty" >&2; exit 1; }
  chmod 444 "$folder/.$1.new"
  mv "$folder/.$1.new" "$folder/$1"
  echo "made $folder/$1"
}
random_hex() { od -An -v -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }
random_key() { printf 'k%s:%s\n' "$(date -u +%Y%m%d)" "$(head -c 32 /dev/urandom | base64)"; } # <id>:<base64 of 32 bytes>

if missing postgres_password; then random_hex 24 | keep postgres_password; fi
for service in credentials webhook_dispatcher wallet_gateway; do
  if missing "${service}_database_url"; then
    printf 'postgresql://%s:%s@postgres:5432/%s\n' "$service" "$(random_hex 24)" "$service" | keep "${service}_database_url"
  fi
  if missing "${service}_sealing_keys"; then random_key | keep "${service}_sealing_keys"; fi
done
if missing credentials_peppers; then random_key | keep credentials_peppers; fi
# Two users: the services' own, and one for systems that publish events, who can do that and nothing else. Whoever may do more
# could empty the queue, or name jobs to the workers.
if missing valkey_conf; then
  {
    printf 'requirepass %s\n' "$(random_hex 24)"
    printf 'user publisher on >%s resetkeys ~causeway:events resetchannels -@all ' "$(random_hex 24)"
    printf '+xadd +multi +exec +discard +ping +auth +hello +select +client|setinfo +client|setname\n'
  } | keep valkey_conf
fi
publisher=$(sed -n 's/^user publisher on >\([0-9a-f]*\) .*/\1/p' "$folder/valkey_conf")
if missing publisher_queue_url && [[ -n $publisher ]]; then
  printf 'redis://publisher:%s@valkey:6379/0\n' "$publisher" | keep publisher_queue_url
fi
if missing queue_url; then
  printf 'redis://:%s@valkey:6379/0\n' "$(sed -n 's/^requirepass //p' "$folder/valkey_conf")" | keep queue_url
fi
for key in platform_key service_key publisher_key; do
  if missing "$key"; then
    docker run --rm --network none "$image" python -m credentials generate-key --kind service --environment live | keep "$key"
  fi
done
