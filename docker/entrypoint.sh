#!/bin/sh
# What a container runs: the server, after a look at what it needs; with arguments that are no options, another command.
#
#   docker run IMAGE                     the server
#   docker run IMAGE --diffusion         the server, with its options
#   docker run IMAGE darkroom --help     any other command, as it is
set -eu

refuse() {
    printf 'darkroom: %s\n' "$1" >&2
    exit 1
}

case "${1:-}" in
'' | -*) ;;
*) exec "$@" ;;
esac

[ -n "${DARKROOM_DATA_DIR:-}" ] || refuse "DARKROOM_DATA_DIR is not set: the folder that a volume is mounted at."
if [ ! -d "$DARKROOM_DATA_DIR" ] || [ ! -w "$DARKROOM_DATA_DIR" ]; then
    refuse "The user $(id -u) cannot write to $DARKROOM_DATA_DIR: give the volume to that user (chown $(id -u):$(id -g))."
fi

case "${DARKROOM_AUTH__MODE:-disabled}" in
api_key)
    [ "$(printf %s "${DARKROOM_AUTH__ADMIN_KEY:-}" | wc -c)" -ge 16 ] ||
        refuse "DARKROOM_AUTH__ADMIN_KEY is not set, or shorter than 16 characters: \`openssl rand -hex 24\` makes one."
    ;;
*)
    case "${DARKROOM_HTTP_HOST:-127.0.0.1}" in
    127.* | ::1 | localhost) ;;
    *) refuse "Without keys anybody who reaches port ${DARKROOM_HTTP_PORT:-8000} may do anything: set DARKROOM_AUTH__MODE=api_key, or DARKROOM_HTTP_HOST=127.0.0.1." ;;
    esac
    ;;
esac

case "${DARKROOM_DATABASE_URL-postgresql+asyncpg:}" in
postgresql+asyncpg:*) ;;
*) refuse "DARKROOM_DATABASE_URL does not begin with postgresql+asyncpg:// (unset: an embedded PostgreSQL in DARKROOM_DATA_DIR)." ;;
esac

python -m deployments.weights --check ||
    refuse "Model weights are missing: build the image again, or mount a folder that \`python -m deployments.weights\` has filled and name it in DARKROOM_WEIGHTS_DIR."

exec python -m serve_app "$@"
