#!/usr/bin/env bash
# `make web-check` for continuous integration. Installs Chromium and a JDK from Debian if that takes
# little time. If they cannot be installed, the check says what is missing and skips what needs it; a
# check that fails gives status 1.
set -uo pipefail
cd "$(dirname "$0")/../.."
# Time limits in seconds: of the installation, and of installation and check together.
INSTALLATION_LIMIT=100
TOTAL_LIMIT=300

# Seconds left of limit $1, but at least 1, because 0 means no limit to `timeout`.
remaining() { echo "$(($1 - SECONDS > 1 ? $1 - SECONDS : 1))"; }

if ! command -v npm > /dev/null || ! command -v node > /dev/null; then
    echo "web-check skipped: Node.js with npm is missing, and Debian 12's is too old."
    exit 0
fi

packages=()
[ -e "${CHROMIUM:-/usr/bin/chromium}" ] || packages+=(chromium)
command -v java > /dev/null || packages+=(default-jre-headless)
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
if [ "${#packages[@]}" -gt 0 ]; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        timeout "$(remaining "$INSTALLATION_LIMIT")" apt-get update > "$log" 2>&1 &&
            timeout "$(remaining "$INSTALLATION_LIMIT")" \
                apt-get install --yes --no-install-recommends "${packages[@]}" >> "$log" 2>&1 ||
            echo "web-check: apt-get did not install ${packages[*]} ($(tail -n 1 "$log"))."
    else
        echo "web-check: ${packages[*]} missing, and only root can install them with apt-get."
    fi
fi
echo "The tools of web-check were ready after $SECONDS s."

timeout --kill-after=10 "$(remaining "$TOTAL_LIMIT")" make --silent web-check | tee "$log"
status=${PIPESTATUS[0]}
# 124 and 137: the time limit was reached.
if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
    grep -q '^FAILED' "$log" && exit 1
    echo "web-check skipped: it did not finish within $TOTAL_LIMIT s; only the steps above ran."
    exit 0
fi
exit "$status"
