#!/usr/bin/env bash
# Run a benchmark plan on the phone connected to adb, without touching its screen, and collect the result:
#
#   android_demo/bench.sh OUT [--plan JSON] [MODEL.tflite ...]
#
# The given models are pushed to the phone first. OUT is a folder that collects the results of phones
# and hosts (iris-tf benchmark import). The app must be installed: ./gradlew :app:installRelease.
set -euo pipefail

package=org.iristf.demo
folder="/sdcard/Android/data/$package/files"
plan='{"backends": ["cpu-xnnpack", "gpu"], "threads": [1, 2, 4]}'
minutes="${BENCH_MINUTES:-30}"

fail() { echo "Error: $*" >&2; exit 2; }

[ $# -ge 1 ] || fail "say where results are collected: bench.sh OUT [--plan JSON] [MODEL.tflite ...]"
out="$1"; shift
if [ "${1:-}" = --plan ]; then
    [ $# -ge 2 ] || fail "--plan needs a plan, e.g. '$plan'"
    plan="$2"; shift 2
fi
command -v adb > /dev/null || fail "adb is not installed; it is part of Android's platform tools"
command -v iris-tf > /dev/null || fail "iris-tf is not installed; activate the project's environment"
adb get-state > /dev/null 2>&1 || fail "adb sees no phone, or more than one (choose with ANDROID_SERIAL)"
adb shell pm path "$package" > /dev/null || fail "the app is not installed; run ./gradlew :app:installRelease"
# The plan is passed through the phone's shell in single quotes.
case "$plan" in *"'"*) fail "the plan must not contain single quotes" ;; esac

for model in "$@"; do
    [ -f "$model" ] || fail "$model: there is no such file"
done

adb shell input keyevent KEYCODE_WAKEUP
if [ $# -gt 0 ]; then
    # The app creates its folder itself, because it may be unable to read a folder created by the shell.
    adb shell am start -n "$package/.MainActivity" > /dev/null
    for ((tries = 0; tries < 30; tries++)); do
        adb shell ls "$folder/models" > /dev/null 2>&1 && break
        sleep 1
    done
    [ "$tries" -lt 30 ] || fail "the app does not start; unlock the phone and open the app once by hand"
    for model in "$@"; do
        adb push "$model" "$folder/models/" > /dev/null || fail "$model: it cannot be pushed to the phone"
    done
fi

token="run$(date +%s)"
adb shell am start -n "$package/.MainActivity" --es token "$token" --es plan "'$plan'" > /dev/null
echo "Running on $(adb shell getprop ro.product.model | tr -d '\r'); keep the phone unlocked and do not use it."

for ((waited = 0; waited < 60 * minutes; waited += 2)); do
    if adb shell ls "$folder/$token.txt" > /dev/null 2>&1; then
        fail "the phone says: $(adb shell cat "$folder/$token.txt")"
    fi
    if adb shell ls "$folder/$token.json" > /dev/null 2>&1; then
        temporary="$(mktemp -d)"
        trap 'rm -rf "$temporary"' EXIT
        adb pull "$folder/$token.json" "$temporary/latency.json" > /dev/null ||
            fail "the result cannot be pulled; it stays on the phone as $folder/$token.json"
        adb shell rm "$folder/$token.json"
        iris-tf benchmark import "$temporary/latency.json" --out "$out"
        exit 0
    fi
    sleep 2
done
fail "no result within $minutes minutes; set BENCH_MINUTES, or look at the phone"
