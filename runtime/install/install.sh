#!/bin/sh
# Installs stele: downloads one file, compares its checksum, puts it in place. Needs curl or wget, gzip, and sha256sum,
# shasum or openssl. Nothing is changed before the download has been verified.
#
#     curl -fsSL ADDRESS/install.sh | sh
#     curl -fsSL ADDRESS/install.sh | sh -s -- --prefix /usr/local --dry-run
set -eu

# All of it is read before any of it runs: a script that arrives cut off does nothing.
{
from=${STELE_FROM:-@ADDRESS@}
prefix=${STELE_PREFIX:-${HOME:?HOME is not set: pass --prefix}/.local}
name=stele
dry=false

fail() {
  echo "install.sh: $1" >&2
  exit 1
}

usage() {
  cat <<'TEXT'
Installs the stele program for this machine.

  --prefix DIR   put it in DIR/bin (default: ~/.local, or $STELE_PREFIX)
  --from URL     download from there (default: where this script came from, or $STELE_FROM)
  --bun          the smaller program that runs on Bun
  --dry-run      say what would be done, and change nothing
  --help         this text
TEXT
}

while [ $# -gt 0 ]; do
  case $1 in
    --prefix | --from)
      [ $# -ge 2 ] && [ -n "$2" ] || fail "$1 needs a value"
      if [ "$1" = --prefix ]; then prefix=$2; else from=$2; fi
      shift
      ;;
    --bun) name=stele-bun ;;
    --dry-run) dry=true ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) fail "unknown option \"$1\": --help lists them" ;;
  esac
  shift
done

case $from in
  http://* | https://* | file://*) from=${from%/} ;;
  *) fail "no address to download from: pass --from URL" ;;
esac

case $(uname -s) in
  Linux) os=linux ;;
  Darwin) os=darwin ;;
  *) fail "no program for $(uname -s); on Windows use install.ps1" ;;
esac
case $(uname -m) in
  x86_64 | amd64) arch=x64 ;;
  aarch64 | arm64) arch=arm64 ;;
  *) fail "no program for processors of type $(uname -m)" ;;
esac
file=$name-$os-$arch.gz
place=$prefix/bin/stele

if command -v curl >/dev/null 2>&1; then
  # What is asked for over TLS is not redirected out of it.
  case $from in https://*) only='=https' ;; *) only='=http,https,file' ;; esac
  fetch() { curl -fsSL --proto "$only" --proto-redir "$only" --retry 2 -o "$2" "$1"; }
elif command -v wget >/dev/null 2>&1; then
  fetch() { wget -q -O "$2" "$1"; }
else
  fail "neither curl nor wget is installed"
fi
if command -v sha256sum >/dev/null 2>&1; then
  digest() { sha256sum "$1" | cut -d ' ' -f 1; }
elif command -v shasum >/dev/null 2>&1; then
  digest() { shasum -a 256 "$1" | cut -d ' ' -f 1; }
elif command -v openssl >/dev/null 2>&1; then
  digest() { openssl dgst -sha256 -r "$1" | cut -d ' ' -f 1; }
else
  fail "nothing here can compute a checksum: install sha256sum, shasum or openssl"
fi
command -v gzip >/dev/null 2>&1 || fail "gzip is not installed"

if $dry; then
  echo "Would download $from/$file"
  echo "Would compare its SHA-256 with $from/SHA256SUMS"
  echo "Would install it as $place"
  exit 0
fi

work=$(mktemp -d)
draft=
trap 'rm -rf "$work"; [ -z "$draft" ] || rm -f "$draft"' EXIT
trap 'exit 130' INT TERM

fetch "$from/SHA256SUMS" "$work/SHA256SUMS" || fail "cannot download $from/SHA256SUMS"
expected=$(awk -v file="$file" '$2 == file { print $1 }' "$work/SHA256SUMS")
[ -n "$expected" ] || fail "there is no $file at $from: this machine is not among its platforms"
echo "Downloading $from/$file"
fetch "$from/$file" "$work/$file" || fail "cannot download $from/$file"
actual=$(digest "$work/$file")
[ "$actual" = "$expected" ] || fail "the checksum of $file is $actual, not $expected: nothing was installed"

mkdir -p "$prefix/bin" || fail "cannot make $prefix/bin: choose another --prefix"
draft=$place.$$
gzip -dc "$work/$file" >"$draft" || fail "cannot write $draft: is there room?"
chmod 755 "$draft"
"$draft" build-info >/dev/null || fail "the program does not run on this machine: nothing was installed"
mv -f "$draft" "$place"
draft=
echo "Installed $place: $("$place" build-info | head -n 1)"
case :$PATH: in
  *:"$prefix/bin":*) ;;
  *) echo "Add $prefix/bin to your PATH: export PATH=\"$prefix/bin:\$PATH\"" ;;
esac
}
