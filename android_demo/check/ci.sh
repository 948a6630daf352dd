#!/usr/bin/env bash
# `make android-check` for continuous integration: installs its tools where that can be done in
# little time. Where it cannot, or the check takes too long, one line says so and nothing fails; a
# check that does not pass does.
set -uo pipefail
cd "$(dirname "$0")/../.."
# Seconds at most: for the installation, and for all.
INSTALLING=90
TOGETHER=300

left_out() {
    echo "android-check left out: $1"
    exit 0
}

# Seconds left of a limit, at least as many as given: 0 would be no limit at all for timeout.
rest() { echo "$(($1 - SECONDS > ${2:-1} ? $1 - SECONDS : ${2:-1}))"; }

packages=()
need() {
    if ! [ -e "$1" ] && ! command -v "$1" > /dev/null; then packages+=("$2"); fi
}
need javac openjdk-17-jdk-headless
need /usr/share/java/junit-jupiter-api.jar junit5
need /usr/share/java/jna.jar libjna-java
need aapt2 aapt
need zipalign zipalign
need apksigner apksigner
need /usr/share/android-framework-res/framework-res.apk android-framework-res

log="$(mktemp)"
trap 'rm -f "$log"' EXIT
if [ "${#packages[@]}" -gt 0 ]; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
        left_out "${packages[*]} are missing, and only root can install them with apt-get."
    fi
    export DEBIAN_FRONTEND=noninteractive
    timeout "$INSTALLING" apt-get update > "$log" 2>&1 &&
        timeout "$(rest "$INSTALLING")" apt-get install --yes --no-install-recommends "${packages[@]}" >> "$log" 2>&1 ||
        left_out "apt-get did not install ${packages[*]} ($(tail -n 1 "$log"))."
fi
timeout "$(rest "$INSTALLING" 20)" make --silent android-tools > "$log" 2>&1 ||
    left_out "the Kotlin compiler or android.jar cannot be fetched ($(tail -n 1 "$log"))."
echo "The tools of android-check were ready after $SECONDS s."

timeout --kill-after=10 "$(rest "$TOGETHER")" make --silent android-check | tee "$log"
status=${PIPESTATUS[0]}
# 124 and 137: the time was up.
if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
    grep -q '^FAILED' "$log" && exit 1
    left_out "it did not end within $TOGETHER s; the steps above did."
fi
exit "$status"
