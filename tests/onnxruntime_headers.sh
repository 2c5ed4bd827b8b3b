#!/usr/bin/env bash
# onnxruntime_headers.sh FOLDER: ONNX Runtime's C++ headers from Debian trixie; older releases and PyPI do not have them
set -euo pipefail
mkdir -p "$1"/{state/lists/partial,cache/archives/partial,etc}
cd "$1"
mirror=$(awk '/^URIs:/{print $2; exit}' /etc/apt/sources.list.d/debian.sources)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
: > status
echo "deb [signed-by=$keyring] $mirror trixie main" > etc/sources.list
options=(-o Dir::Etc::sourcelist="$PWD/etc/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State="$PWD/state"
  -o Dir::State::status="$PWD/status" -o Dir::Cache="$PWD/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none)
apt-get "${options[@]}" -qq update
apt-get "${options[@]}" -qq download libonnxruntime-dev
dpkg -x libonnxruntime-dev_*.deb .
