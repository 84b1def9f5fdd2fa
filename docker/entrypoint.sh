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

if [ "${DARKROOM_AUTH__MODE:-}" = api_key ] && [ "$(printf %s "${DARKROOM_AUTH__ADMIN_KEY:-}" | wc -c)" -lt 16 ]; then
    refuse "DARKROOM_AUTH__ADMIN_KEY is not set, or shorter than 16 characters: \`openssl rand -hex 24\` makes one."
fi

case "${DARKROOM_DATABASE_URL-postgresql+asyncpg:}" in
postgresql+asyncpg:*) ;;
*) refuse "DARKROOM_DATABASE_URL does not begin with postgresql+asyncpg:// (unset: an embedded PostgreSQL in DARKROOM_DATA_DIR)." ;;
esac

[ -n "${DARKROOM_WEIGHTS_DIR:-}" ] || refuse "DARKROOM_WEIGHTS_DIR is not set: the folder that holds the model weights."
python -m deployments.weights --check --dir "$DARKROOM_WEIGHTS_DIR" ||
    refuse "Model weights are missing: build the image again, or mount a folder that \`python -m deployments.weights\` has filled and name it in DARKROOM_WEIGHTS_DIR."

exec python -m serve_app "$@"
