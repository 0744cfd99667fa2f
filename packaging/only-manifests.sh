#!/bin/sh
# Leaves of the sources below this folder only what says what they depend on, with empty sources in place of all others, and the
# same times for the same content. For the layer of dependencies in the Dockerfiles.
set -eu
find . -type f ! -name Cargo.toml ! -name Cargo.lock ! -name rust-toolchain.toml -delete
find . -name Cargo.toml | while read -r manifest; do
    grep -q '^\[package\]' "$manifest" || continue
    folder=$(dirname "$manifest")
    mkdir -p "$folder/src"
    : >"$folder/src/lib.rs"
    echo 'fn main() {}' | tee "$folder/src/main.rs" >"$folder/build.rs"
    # Targets that it names have to be there too.
    kind=
    while read -r line; do
        case $line in
            '[[test]]') kind=tests ;;
            '[[bench]]') kind=benches ;;
            '['*) kind= ;;
            'name = '*)
                [ -n "$kind" ] || continue
                name=${line#*\"}
                mkdir -p "$folder/$kind"
                echo 'fn main() {}' >"$folder/$kind/${name%\"*}.rs"
                ;;
        esac
    done <"$manifest"
done
find . -type d -empty -delete
find . -exec touch --date @0 {} +
