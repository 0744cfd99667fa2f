#!/bin/bash
# packaging/stand-ins.sh NAME: makes an image of this name, for machines that reach no image registry, from Debian's packages and, for
# the one with Rust, from this machine's toolchain. What the Dockerfiles begin with is then there, under its name, in the store that
# packaging/images.sh works with, and nowhere else. It says itself what it is.
set -euo pipefail
name=$1
: "${STORE:?set by packaging/images.sh}"
buildah() { command buildah --root "$STORE/images" --runroot "$STORE/run" "$@"; }
work=$(mktemp -d "$STORE/stand-in.XXXXXX")
trap 'rm -rf "$work"' EXIT

# unpack PACKAGE...: into $work/tree, without running anything of theirs.
unpack() {
    mkdir -p "$work/packages/partial" "$work/tree"
    # As on a machine on which nothing is installed, so that everything needed comes along.
    local fetch=(apt-get install --download-only --no-install-recommends --yes -qq
        -o Dir::State::status=/dev/null -o Dir::Cache::archives="$work/packages" "$@")
    "${fetch[@]}" >/dev/null 2>&1 || { apt-get update -qq && "${fetch[@]}" >/dev/null; }
    local package
    for package in "$work"/packages/*.deb; do
        dpkg-deb --extract "$package" "$work/tree"
    done
}

# What a package's own script would have made of the authorities.
authorities() {
    mkdir -p "$work/tree/etc/ssl/certs"
    find "$work/tree/usr/share/ca-certificates" -name '*.crt' -print0 | sort -z | xargs -0 cat \
        >"$work/tree/etc/ssl/certs/ca-certificates.crt"
}

# commit SETTING...: the folder as an image, with these settings.
commit() {
    local container
    container=$(buildah from --quiet scratch)
    buildah copy --quiet "$container" "$work/tree" / >/dev/null
    buildah config --label "org.opencontainers.image.description=A stand-in for $name, made of Debian's packages" "$@" "$container"
    buildah commit --quiet --rm "$container" "$name" >/dev/null
}

distroless() {
    unpack base-files netbase tzdata ca-certificates libc6 libssl3 libgcc-s1 libgomp1 libstdc++6
    authorities
    # Needed by nothing but scripts, which are not run.
    rm -rf "$work"/tree/usr/{bin,sbin,share/{debconf,perl5,pixmaps,man,lintian,bug,info}} "$work"/tree/{bin,sbin}
    printf 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' >"$work/tree/etc/passwd"
    printf 'root:x:0:\nnonroot:x:65532:\n' >"$work/tree/etc/group"
    commit --user 65532 --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
}

rust() {
    unpack base-files base-passwd bash coreutils dash debianutils findutils grep sed tar gzip ca-certificates gcc libc6-dev binutils
    # What is fetched inside comes the way that this machine knows.
    authorities
    [ ! -e /etc/ssl/certs/ca-certificates.crt ] || cp /etc/ssl/certs/ca-certificates.crt "$work/tree/etc/ssl/certs/"
    ln -sf gcc "$work/tree/usr/bin/cc"
    mkdir -p "$work"/tree/{root,tmp,usr/local/cargo/bin,usr/local/rustup/toolchains}
    local toolchain
    toolchain=$(rustc --print sysroot)
    cp -a "$toolchain" "$work/tree/usr/local/rustup/toolchains/"
    rm -rf "$work/tree/usr/local/rustup/toolchains/$(basename "$toolchain")/share/doc"
    ln -s "../../rustup/toolchains/$(basename "$toolchain")/bin/"{cargo,rustc} "$work/tree/usr/local/cargo/bin/"
    commit --env PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        --env RUSTUP_HOME=/usr/local/rustup --env CARGO_HOME=/usr/local/cargo
}

case $name in
    gcr.io/distroless/cc-debian12:nonroot) distroless ;;
    docker.io/library/rust:*) rust ;;
    *) echo "packaging/stand-ins.sh knows no $name" >&2; exit 1 ;;
esac
