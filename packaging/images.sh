#!/bin/bash
# packaging/images.sh: builds both images with Buildah, for whoever has no Docker, and for tests. They are left as archives in
# target/images, which `ctr images import`, `podman load` and `skopeo` read.
#
#   BINARY_STAGE   build (default), or prebuilt: target/images/cue-scheduler{,-operator} are taken as they are
#   PREFIX, TAG    of their names; opencue, and the version of the workspace
#   PLATFORM       another architecture than the machine's
#   STORE          where Buildah keeps what it works with; target/images/store
set -euo pipefail
# As root Buildah leaves mounts behind, which go with a namespace of their own.
[ "$(id -u)" != 0 ] || [ -n "${OWN_MOUNTS:-}" ] || OWN_MOUNTS=1 exec unshare --mount -- "$0" "$@"
# It starts itself anew without variables: libraries that were unpacked for it are laid over the machine's, in these mounts only.
if [ -n "${OWN_MOUNTS:-}" ] && [ -n "${LD_LIBRARY_PATH:-}" ]; then
    libraries=/usr/lib/$(basename "${LD_LIBRARY_PATH##*:}")
    mount -t overlay overlay -o "lowerdir=$LD_LIBRARY_PATH:$libraries" "$libraries"
fi
cd "$(dirname "$0")/.."
stage=${BINARY_STAGE:-build} prefix=${PREFIX:-opencue} out=target/images
tag=${TAG:-$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)}
export STORE=${STORE:-$PWD/$out/store}
mkdir -p "$STORE" "$out"
command -v buildah >/dev/null || { echo "packaging/images.sh needs buildah (Debian: apt-get install buildah)" >&2; exit 1; }
buildah() { command buildah --root "$STORE/images" --runroot "$STORE/run" "$@"; }

# Where nobody has said whose images are trusted, all that are fetched here are: the Dockerfiles name them.
if ! [ -e /etc/containers/policy.json ] && ! [ -e "$HOME/.config/containers/policy.json" ]; then
    # Rust is still where it is.
    export RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup} CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} HOME=$STORE/home
    mkdir -p "$HOME/.config/containers"
    echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$HOME/.config/containers/policy.json"
fi

# What the Dockerfiles begin with: from its registry, or in its place a stand-in.
begins=(gcr.io/distroless/cc-debian12:nonroot)
[ "$stage" = prebuilt ] || begins+=("docker.io/library/$(sed -n 's/^FROM \(rust:[^ ]*\) AS build$/\1/p' Dockerfile.scheduler)")
for name in "${begins[@]}"; do
    buildah inspect --type image "$name" >/dev/null 2>&1 && continue
    if [ -n "${STAND_INS:-}" ] || ! timeout 60 buildah pull --quiet "$name" >/dev/null 2>&1; then
        echo "$name can't be fetched; a stand-in made of Debian's packages takes its place"
        packaging/stand-ins.sh "$name"
    fi
done

# The labels are said once more: with other arguments Buildah takes their layer as it was.
revision=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
for image in scheduler operator; do
    name=cue-scheduler
    [ "$image" = scheduler ] || name=cue-scheduler-operator
    file=$out/$name.tar
    buildah bud --quiet --layers --force-rm --pull-never --isolation chroot ${PLATFORM:+--platform "$PLATFORM"} \
        --build-arg BINARY_STAGE="$stage" --build-arg VERSION="$tag" --build-arg REVISION="$revision" \
        --label org.opencontainers.image.version="$tag" --label org.opencontainers.image.revision="$revision" \
        --file "Dockerfile.$image" --tag "$prefix/$name:$tag" . >/dev/null
    rm -f "$file"
    buildah push --quiet "$prefix/$name:$tag" "docker-archive:$file:$prefix/$name:$tag" >/dev/null
    # Layers travel compressed.
    echo "$prefix/$name:$tag: $(gzip --stdout "$file" | wc -c | awk '{printf "%.1f", $1/1e6}') MB compressed, in $file"
done
