#!/usr/bin/env bash
# The tools of the interoperability scripts that are no Debian packages: installs each of them once, outside
# the repository, and prints the folders that belong on the PATH.
#
#     PATH=$(tests/interop/tools.sh):$PATH
#
# Needs Go 1.25 or newer, unless all of them are there already.
set -euo pipefail

# Each at one version, so that the same suite tests every registry. Two of their go.mod require this Go.
tools=(
  github.com/google/go-containerregistry/cmd/crane@v0.21.6
  github.com/distribution/distribution/v3/cmd/registry@v3.1.1
  github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111
  helm.sh/helm/v3/cmd/helm@v3.19.0
)
go=1.25

path=
for tool in "${tools[@]}"; do
  name=$(basename "${tool%@*}")
  folder=${XDG_CACHE_HOME:-$HOME/.cache}/portolan/tools/$name@${tool#*@}
  path=$path:$folder
  [ -x "$folder/$name" ] && continue
  have=$(go env GOVERSION 2>/dev/null | grep -o '[0-9][0-9.]*' | head -n 1) || have=none
  if [ "$have" = none ] || [ "$(printf '%s\n' "$go" "$have" | sort -V | head -n 1)" != "$go" ]; then
    printf '%s is built from source: install Go %s or newer (https://go.dev/dl/), and put it on the PATH. Found: %s\n' \
      "$name" "$go" "$have" >&2
    exit 1
  fi
  mkdir -p "$folder"
  # Aside, and then in one step: what is there is whole.
  GOBIN=$folder/building go install "$tool" >&2
  mv "$folder/building/$name" "$folder/$name"
  rmdir "$folder/building"
done
printf '%s\n' "${path#:}"
