#!/usr/bin/env bash
# Proves the README's first lines: builds and runs highwater in a Debian that has nothing but Rust and
# build-essential.  scripts/bare-machine.sh [DIRECTORY]     needs root, mmdebstrap, and this machine's cargo home
#
# The toolchain is this machine's own, copied in: a bare Debian's is too old. Everything native (librdkafka, zstd,
# zlib) must come out of its crate. The directory is deleted at the end.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
root=${1:-$(mktemp -d /tmp/highwater-bare.XXXXXX)}
rustup=${RUSTUP_HOME:-$HOME/.rustup} cargo=${CARGO_HOME:-$HOME/.cargo}
cleanup() {
  for m in proc dev; do mountpoint -q "$root/$m" && umount -l "$root/$m"; done
  rm -rf --one-file-system "$root"
}
trap cleanup EXIT
mmdebstrap --variant=minbase --include=build-essential,ca-certificates bookworm "$root" >/dev/null
mkdir -p "$root/rust" "$root/src"
cp -a "$rustup" "$root/rust/rustup"
mkdir -p "$root/rust/cargo"
cp -a "$cargo/bin" "$cargo/registry" "$root/rust/cargo/"
for f in config.toml; do [ -f "$cargo/$f" ] && cp "$cargo/$f" "$root/rust/cargo/"; done
git -C "$here" archive HEAD | tar -x -C "$root/src"
cp /etc/resolv.conf "$root/etc/resolv.conf"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
chroot "$root" /usr/bin/env -i PATH=/rust/cargo/bin:/usr/bin:/bin HOME=/root RUSTUP_HOME=/rust/rustup \
  CARGO_HOME=/rust/cargo bash -c 'cd /src && dpkg -l | grep -cE "^ii" | sed "s/$/ packages installed/" \
    && time cargo build --release && ldd target/release/highwater && time ./target/release/highwater run smoke'
