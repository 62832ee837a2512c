#!/usr/bin/env bash
# Writes the digests of the base images to deploy/.env, where compose reads them: what was tried is then what runs.
# Needs a registry that answers, and buildx.
set -euo pipefail
cd "$(dirname "$0")"

docker buildx version >/dev/null 2>&1 || { echo "this needs Docker's buildx" >&2; exit 1; }
: >.env.partial
while read -r variable image; do
    digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$image") || {
        rm .env.partial
        echo "no registry tells the digest of $image: nothing was pinned" >&2
        exit 1
    }
    echo "$variable=$image@$digest" | tee -a .env.partial
done < <(sed -nE 's/.*\$\{([A-Z]+_IMAGE):-([^}]+)\}.*/\1 \2/p' compose.yaml | sort -u)
mv .env.partial .env
