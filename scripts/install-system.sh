#!/usr/bin/env bash
# The Debian packages that Sekisho needs to run, with --test those it is tested with, with --bench also the peers it is measured beside.
# Does nothing when all are there.
set -euo pipefail

packages=(ca-certificates debian-archive-keyring libseccomp2 mmdebstrap mount python3 python3-venv runc squashfs-tools
  tigervnc-standalone-server)
if [ "${1-}" = --test ] || [ "${1-}" = --bench ]; then
  packages+=(chromium curl fonts-noto-cjk git openssl postgresql tigervnc-viewer util-linux)
fi
[ "${1-}" != --bench ] || packages+=(podman squid)
command -v npm >/dev/null || packages+=(nodejs npm) # whoever has another node keeps it

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} = 0 ] && exit 0

if [ "$(id -u)" != 0 ]; then
  echo "These Debian packages are missing, and installing them needs root. Try: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
echo "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
said=$(mktemp)
trap 'rm -f "$said"' EXIT
if ! { apt-get -q update && apt-get -q install -y --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}"; } >"$said" 2>&1; then
  tail -n 30 "$said" >&2
  exit 1
fi
