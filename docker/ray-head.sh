#!/bin/sh
# Ray's head, and again whenever one of its processes ends: without GCS, raylets and replicas of all nodes end about a
# minute later. With RAY_REDIS_ADDRESS set the next GCS takes the cluster's state from there, and the nodes, whose
# replicas ran on, join it again.
#
#   RAY_REDIS_ADDRESS=host:6379 REDIS_PASSWORD=... sh ray-head.sh --port=6379 ...    (arguments of `ray start --head`)
set -u

child=
end() {
    trap - TERM INT
    [ -z "$child" ] || kill "$child" 2>/dev/null
    wait
    exit 143
}
trap end TERM INT

while :; do
    # The address of the head that ended: beside a worker of this machine, `ray start` would take it for a living one.
    rm -f "${RAY_TMPDIR:-/tmp}/ray/ray_current_cluster"
    ray start --head --block --redis-password="${REDIS_PASSWORD:-}" "$@" &
    child=$!
    wait "$child"
    echo "ray-head: the head ended with status $?; it is started again" >&2
    sleep 1
done
