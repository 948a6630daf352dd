#!/usr/bin/env bash
# `make android-check` for continuous integration. Installs the tools if that takes little time. If
# they cannot be installed, or the check takes too long, it is skipped with one line and status 0; a
# check that fails gives status 1.
set -uo pipefail
cd "$(dirname "$0")/../.."
# Time limits in seconds: of the installation, and of installation and check together.
INSTALLATION_LIMIT=90
TOTAL_LIMIT=300

skip() {
    echo "android-check skipped: $1"
    exit 0
}

# Seconds left of limit $1, but at least $2 (default 1), because 0 means no limit to `timeout`.
remaining() { echo "$(($1 - SECONDS > ${2:-1} ? $1 - SECONDS : ${2:-1}))"; }

readarray -t packages < <(android_demo/check/missing_packages.sh | cut -f 1)

log="$(mktemp)"
trap 'rm -f "$log"' EXIT
if [ "${#packages[@]}" -gt 0 ]; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
        skip "${packages[*]} are missing, and only root can install them with apt-get."
    fi
    export DEBIAN_FRONTEND=noninteractive
    timeout "$INSTALLATION_LIMIT" apt-get update > "$log" 2>&1 &&
        timeout "$(remaining "$INSTALLATION_LIMIT")" \
            apt-get install --yes --no-install-recommends "${packages[@]}" >> "$log" 2>&1 ||
        skip "apt-get did not install ${packages[*]} ($(tail -n 1 "$log"))."
fi
timeout "$(remaining "$INSTALLATION_LIMIT" 20)" make --silent android-tools > "$log" 2>&1 ||
    skip "the Kotlin compiler or android.jar cannot be fetched ($(tail -n 1 "$log"))."
echo "The tools of android-check were ready after $SECONDS s."

timeout --kill-after=10 "$(remaining "$TOTAL_LIMIT")" make --silent android-check | tee "$log"
status=${PIPESTATUS[0]}
# 124 and 137: the time limit was reached.
if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
    grep -q '^FAILED' "$log" && exit 1
    skip "it did not finish within $TOTAL_LIMIT s; only the steps above ran."
fi
exit "$status"
