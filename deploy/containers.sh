#!/usr/bin/env bash
# Proves the containers: builds every image, starts the whole stack, runs the main job against it, kills a worker in the middle of
# deliveries, stops in order and removes its containers, networks, volumes and secrets; the images stay for the next time.
# `make containers` runs this. It works in a project of its own with free ports and fresh secrets, so it leaves a stack that already
# runs here alone. Exit code 0 says that all held.
#   CAUSEWAY_BUILD_NETWORK   the network of the builds (default: host)
#   CAUSEWAY_KEEP=1          leave the stack running at the end; the next run removes it
# shellcheck disable=SC2016 # what stands in single quotes is for the engine's templates or for the shell in the container
set -euo pipefail
cd "$(dirname "$0")/.."

if ! docker info >/dev/null 2>&1; then
  echo "No container engine answers here, so nothing was built and nothing is proved by this run."
  echo "To run it: install Docker Engine with Compose (https://docs.docker.com/engine/install/), start it, and repeat 'make containers'."
  exit 0
fi
if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
if ! "${compose[@]}" version >/dev/null 2>&1; then
  echo "A container engine runs here but Compose is missing, so nothing was built and nothing is proved by this run."
  echo "To run it: install the Compose plugin (https://docs.docker.com/compose/install/) and repeat 'make containers'."
  exit 0
fi
python=.venv/bin/python
[[ -x $python ]] || { echo "run 'make setup' first: the main job is driven by $python" >&2; exit 1; }

work=$(mktemp -d)
services=(credentials webhook-dispatcher wallet-gateway)
free_ports() { "$python" -c 'import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(6)]
print(*(s.getsockname()[1] for s in sockets))'; }
read -r CAUSEWAY_CREDENTIALS_PORT CAUSEWAY_DISPATCHER_PORT CAUSEWAY_GATEWAY_PORT CAUSEWAY_RECEIVER_PORT \
  CAUSEWAY_REFERENCE_WALLET_PORT CAUSEWAY_HOME_WALLET_PORT < <(free_ports)
export CAUSEWAY_CREDENTIALS_PORT CAUSEWAY_DISPATCHER_PORT CAUSEWAY_GATEWAY_PORT CAUSEWAY_RECEIVER_PORT
export CAUSEWAY_REFERENCE_WALLET_PORT CAUSEWAY_HOME_WALLET_PORT
export COMPOSE_PROJECT_NAME=causeway-proof CAUSEWAY_VERSION=proof CAUSEWAY_BIND_ADDRESS=127.0.0.1
export CAUSEWAY_SECRETS_DIR=$work/secrets CAUSEWAY_TRY_SUBNET=${CAUSEWAY_TRY_SUBNET:-172.29.93.0/27}
CAUSEWAY_TRY_SECRET=whsec_$(head -c 32 /dev/urandom | base64)
CAUSEWAY_TRY_CONTROL_TOKEN=$(head -c 24 /dev/urandom | base64)
CAUSEWAY_TRY_SEALING_KEY=$(head -c 32 /dev/urandom | base64)
export CAUSEWAY_TRY_SECRET CAUSEWAY_TRY_CONTROL_TOKEN CAUSEWAY_TRY_SEALING_KEY
compose+=(-f docker-compose.yml -f deploy/docker-compose.try.yml)

table=()
row() { table+=("$(printf '  %-50s %s' "$1" "$2")"); printf '%s: %s\n' "$1" "$2"; }
say() { printf '\n== %s\n' "$*"; }
now() { date +%s.%N; }
since() { awk -v from="$1" -v to="$(now)" 'BEGIN { printf "%.1f", to - from }'; }

finish() {
  local code=$?
  if ((code != 0)) && [[ -n $(containers 2>/dev/null) ]]; then
    say "failed; the last lines of every container"
    "${compose[@]}" ps || true
    "${compose[@]}" logs --tail 25 --no-color || true
  fi
  if [[ ${CAUSEWAY_KEEP:-0} == 1 ]]; then
    echo "left running as project $COMPOSE_PROJECT_NAME until the next run; its secrets are in $CAUSEWAY_SECRETS_DIR"
  else
    "${compose[@]}" down -v --timeout 20 >/dev/null 2>&1 || true
    rm -rf "$work"
  fi
  exit "$code"
}

# By label, so that it needs neither the ports nor the secrets of the run that left it behind.
remove_leftovers() {
  local filter=label=com.docker.compose.project=$COMPOSE_PROJECT_NAME
  docker ps -aq --filter "$filter" | xargs -r docker rm -f >/dev/null
  docker volume ls -q --filter "$filter" | xargs -r docker volume rm >/dev/null
  docker network ls -q --filter "$filter" | xargs -r docker network rm >/dev/null
}

image_build() { # TAG ARGUMENT...: quiet unless it fails
  docker build --network "${CAUSEWAY_BUILD_NETWORK:-host}" -t "$@" . >"$work/build.log" 2>&1 || { tail -40 "$work/build.log" >&2; return 1; }
}
build() {
  local service image
  for service in "${services[@]}"; do
    image=causeway/$service:$CAUSEWAY_VERSION
    image_build "$image" -f deploy/Dockerfile --build-arg "SERVICE=$service"
    row "image $image" "$(size_mb "$image") MB"
  done
  image_build "causeway/reference-wallet:$CAUSEWAY_VERSION" -f deploy/Dockerfile \
    --build-arg SERVICE=reference-wallet --build-arg SOURCE=deploy/reference-wallet
  image_build "causeway/try-receiver:$CAUSEWAY_VERSION" -f deploy/try/Dockerfile
  row "  of which the base python:3.13-slim" "$(size_mb python:3.13-slim) MB"
}
size_mb() { docker image inspect --format '{{.Size}}' "$1" | awk '{ printf "%.0f", $1 / 1e6 }'; }

containers() { "${compose[@]}" ps -aq "$@"; }
# Every container with a health check runs and is healthy; the one-shot migrations have none.
all_healthy() {
  local states
  states=$(containers "$@" | xargs docker inspect --format '{{if .State.Health}}{{.State.Running}} {{.State.Health.Status}}{{end}}')
  ! grep -qvE '^(true healthy)?$' <<<"$states"
}
wait_healthy() {
  local deadline=$((SECONDS + $1))
  shift
  until all_healthy "$@"; do
    ((SECONDS < deadline)) || { echo "not healthy in time: $*" >&2; return 1; }
    sleep 0.3
  done
}

start() {
  local started
  started=$(now)
  "${compose[@]}" up -d --no-build
  wait_healthy 120
  row "seconds from 'up' until everything is healthy" "$(since "$started")"
  row "containers running" "$(containers | xargs docker inspect --format '{{.State.Running}}' | grep -c true)"
}

# What must be true of every service's container, asked of the engine and not of the file.
check_hardening() {
  local id found published=()
  for id in $(containers credentials-api credentials-worker webhook-dispatcher-api webhook-dispatcher-worker wallet-gateway-api wallet-gateway-worker); do
    found="$(docker exec "$id" id -u) $(docker inspect --format '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.RestartPolicy.Name}}' "$id")"
    [[ $found == "10001 true [ALL] unless-stopped" ]] || { echo "$id is not hardened: $found" >&2; return 1; }
  done
  mapfile -t published < <(containers | xargs docker inspect --format '{{range $port, $to := .NetworkSettings.Ports}}{{if $to}}{{$port}} {{end}}{{end}}' | grep -o '[0-9]*/tcp' | sort)
  [[ ${published[*]} == "8001/tcp 8002/tcp 8003/tcp 8010/tcp 8011/tcp 8012/tcp" ]] || { echo "published: ${published[*]}" >&2; return 1; }
  row "all services: uid 10001, read-only, no capability" "yes"
  row "published ports (8010 to 8012 are the trial's)" "${published[*]}"
}

# No secret's text in what anybody with access to the engine sees: configurations, process lists, logs.
check_secrets() {
  local id
  grep -rhoE '[A-Za-z0-9_+/=-]{40,}' "$CAUSEWAY_SECRETS_DIR" >"$work/secret-texts"
  for id in $(containers); do
    { docker inspect "$id"; docker top "$id" 2>/dev/null || true; docker logs "$id" 2>&1; } >"$work/seen"
    if grep -qFf "$work/secret-texts" "$work/seen"; then echo "a secret shows in $(docker inspect --format '{{.Name}}' "$id")" >&2; return 1; fi
  done
  row "$(wc -l <"$work/secret-texts") secrets: none in configuration, processes, logs" "yes"
}

job() { "$python" deploy/try/main_job.py --state "$work/job.json" "$@"; }
as_publisher() { # the queue's commands on standard input, by the user that other systems get
  "${compose[@]}" exec -T valkey sh -c \
    '{ sed -n "s/^user publisher on >\([0-9a-f]*\) .*/AUTH publisher \1/p" /run/secrets/valkey_conf; cat; } | valkey-cli' | tr -d '\r'
}
to_stream() { # FIRST COUNT: put events on the queue as another system inside the network would
  local answers
  answers=$(job stream --first "$1" --count "$2" | as_publisher)
  (($(grep -cE '^"?[0-9]+-[0-9]+"?$' <<<"$answers") == $2)) || { echo "the queue took not all of $2 events: ${answers:0:500}" >&2; return 1; }
}

# Another system may add events, and neither read them nor empty the queue.
check_publisher() {
  local answers
  answers=$(printf 'XRANGE causeway:events - +\nFLUSHALL\nCONFIG GET requirepass\n' | as_publisher)
  (($(grep -c NOPERM <<<"$answers") == 3)) || { echo "the queue lets publishers do more than publish: ${answers:0:500}" >&2; return 1; }
  row "publishers of the queue may do nothing else" "yes"
}

main_job() {
  local started
  job prepare --credentials-url "http://127.0.0.1:$CAUSEWAY_CREDENTIALS_PORT" --dispatcher-url "http://127.0.0.1:$CAUSEWAY_DISPATCHER_PORT" \
    --platform-key-file "$CAUSEWAY_SECRETS_DIR/platform_key" \
    --receiver-url http://receiver:8010/ --receiver-counts-url "http://127.0.0.1:$CAUSEWAY_RECEIVER_PORT/counts"
  started=$(now)
  to_stream 1 300
  job publish --first 301 --count 200
  row "main job, 300 events queued and 200 over HTTP" "$(job settle --expected 500), $(since "$started") s"
}

# A balance read and a transfer each way, between the CRM's wallet and a partner's, each a third party's server.
move_money() {
  local started moved
  started=$(now)
  moved=$("$python" deploy/try/money_job.py --state "$work/job.json" --gateway-url "http://127.0.0.1:$CAUSEWAY_GATEWAY_PORT" \
    --home-url http://home-wallet:8012 --home-control-url "http://127.0.0.1:$CAUSEWAY_HOME_WALLET_PORT" \
    --partner-url http://reference-wallet:8011 --partner-control-url "http://127.0.0.1:$CAUSEWAY_REFERENCE_WALLET_PORT")
  row "money between home and partner wallet" "$moved, $(since "$started") s"
}

# Kills as the kernel would. A container in the engine's own process namespace does it, because 'docker kill' counts as a wish to
# stop, from inside a container its first process cannot be killed, and the engine may run in a virtual machine. It waits on its
# input, so that the kill falls in the middle of the work.
kill_worker() {
  local id pid killed at
  id=$(containers webhook-dispatcher-worker | head -1)
  pid=$(docker inspect --format '{{.State.Pid}}' "$id")
  to_stream 501 5000 &
  job reached --verified 800 | docker run -i --rm --pid host --network none --user 0:0 "causeway/webhook-dispatcher:$CAUSEWAY_VERSION" \
    python -c 'import os, sys; sys.stdin.readline(); os.kill(int(sys.argv[1]), 9)' "$pid"
  killed=$(now)
  at=$(job reached --verified 0)
  wait $!
  ((at < 5500)) || { echo "the kill came after the last delivery and proves nothing" >&2; return 1; }
  until [[ $(docker inspect --format '{{.State.Running}} {{.State.Pid}}' "$id") =~ ^true\ [1-9] && $(docker inspect --format '{{.State.Pid}}' "$id") != "$pid" ]]; do
    sleep 0.1
  done
  row "worker killed (-9) in the middle of 5000 events" "after $((at - 500)); restarts: $(docker inspect --format '{{.RestartCount}}' "$id"), running after $(since "$killed") s"
  row "  all of them delivered" "$(job settle --expected 5500), $(since "$killed") s after the kill"
  wait_healthy 60 webhook-dispatcher-worker
  row "  healthy again after" "$(since "$killed") s"
  to_stream 5501 100
  job publish --first 5601 --count 100
  row "  100 queued and 100 over HTTP afterwards" "$(job settle --expected 5700)"
}

memory() {
  local name usage
  while read -r name usage; do
    row "memory of ${name#"$COMPOSE_PROJECT_NAME"[-_]}" "$usage"
  done < <("${compose[@]}" ps -q | xargs docker stats --no-stream --format '{{.Name}} {{.MemUsage}}' | grep -v ' 0B / 0B' | sort)
}

# Exit code 0 after the stop signal says that a process finished its work; 137 that it had to be killed.
stop() {
  local started codes
  started=$(now)
  "${compose[@]}" stop >/dev/null 2>&1
  codes=$(containers | xargs docker inspect --format '{{.Name}} {{.State.ExitCode}}')
  row "seconds to stop in order" "$(since "$started")"
  if grep -vE ' 0$' <<<"$codes" >&2; then echo "did not end in order" >&2; return 1; fi
  row "exit codes after SIGTERM" "$(awk '{ print $2 }' <<<"$codes" | sort | uniq -c | awk '{ printf "%s× %s  ", $1, $2 }')"
}

remove_leftovers
trap finish EXIT
say "build"
build
deploy/make-secrets.sh
say "up"
start
check_hardening
check_secrets
check_publisher
say "the main job"
main_job
say "money"
move_money
say "kill a worker"
kill_worker
check_secrets
memory
if [[ ${CAUSEWAY_KEEP:-0} != 1 ]]; then
  say "stop"
  stop
fi
say "result, $("${compose[@]}" version --short 2>/dev/null || echo ?) / engine $(docker version --format '{{.Server.Version}}'), $(nproc) cores"
printf '%s\n' "${table[@]}"
