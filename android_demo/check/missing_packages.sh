#!/usr/bin/env bash
# Print the Debian packages that `make android-check` lacks on this machine, one a line: name, a tab, what
# it is for.
#
#   missing_packages.sh [RELEASE]
#
# RELEASE is Debian's release whose names are used: by default this machine's, on other systems 12.
set -euo pipefail
list="$(dirname "$0")/debian_packages.txt"
release="${1:-$(. /etc/os-release && [ "${ID:-}" = debian ] && echo "${VERSION_ID:-}" || true)}"
awk '!/^#/ { print $3 }' "$list" | grep -qw "${release:-none}" || release=12
awk -v release="$release" '!/^#/ && "," $3 "," ~ "," release ","' "$list" |
    while read -r needed package _ purpose; do
        if ! [ -e "$needed" ] && ! command -v "$needed" > /dev/null; then
            printf '%s\t%s\n' "$package" "$purpose"
        fi
    done
