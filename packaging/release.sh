#!/bin/bash
# packaging/release.sh: what a release has for machines without containers, in target/dist: the bare program, and an archive with it, a
# configuration to begin with, and the unit for systemd.
#
#   TARGET   another target than the machine's, such as x86_64-unknown-linux-musl, which Rust has to have
set -euo pipefail
cd "$(dirname "$0")/.."
target=${TARGET:-$(rustc -vV | sed -n 's/^host: //p')}
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
built=${CARGO_TARGET_DIR:-target} name=cue-scheduler-$version-$target out=target/dist
cargo build --locked --release --target "$target" --package cue-scheduler
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out" "$work/$name"
install --strip "$built/$target/release/cue-scheduler" "$out/$name"
install "$out/$name" "$work/$name/cue-scheduler"
install -m 644 docs/operations/{scheduler.yaml,cue-scheduler.service} LICENSE "$work/$name"
# The same content is the same archive.
tar --sort=name --mtime="@$(git log -1 --format=%ct)" --owner=0 --group=0 --numeric-owner -C "$work" -c "$name" |
    gzip --no-name >"$out/$name.tar.gz"
(cd "$out" && sha256sum "$name" "$name.tar.gz" | tee "$name.sha256")
