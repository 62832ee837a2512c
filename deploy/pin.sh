#!/usr/bin/env bash
# Writes the digests of the base images to deploy/.env, where compose reads them: what was tried is then what runs. And
# prints those that deploy/kubernetes names too, as a kustomization of your own takes them (docs/kubernetes.md).
#
# Needs a registry that answers, and buildx.
set -euo pipefail
cd "$(dirname "$0")"

docker buildx version >/dev/null 2>&1 || { echo "this needs Docker's buildx" >&2; exit 1; }
trap 'rm -f .env.partial' EXIT
{ [ ! -f .env ] || grep -vE '^[A-Z]+_IMAGE=' .env || true; } >.env.partial # what else is set there stays
while read -r variable image; do
    digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$image") && [[ $digest == sha256:* ]] || {
        echo "no registry tells the digest of $image: nothing was pinned" >&2
        exit 1
    }
    echo "$variable=$image@$digest" | tee -a .env.partial
done < <(sed -nE 's/.*\$\{([A-Z]+_IMAGE):-([^}]+)\}.*/\1 \2/p' compose.yaml | sort -u)
mv .env.partial .env

echo "images:"
while IFS='=@' read -r _ image digest; do
    ! grep -rqF "image: $image" kubernetes || echo "  - { name: ${image%:*}, digest: \"$digest\" }"
done < <(grep -E '^[A-Z]+_IMAGE=' .env)
