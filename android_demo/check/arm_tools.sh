#!/usr/bin/env bash
# Fetch what `make arm-check` runs under emulation into a folder that git ignores: Debian's Python for
# 64-bit Arm with its libraries, and the wheels of NumPy and LiteRT, in the versions of this environment.
set -euo pipefail
check="$(cd "$(dirname "$0")" && pwd)"
cache="$(cd "$check/.." && pwd)/build/tools/arm64"
root="$cache/root"
mkdir -p "$cache/lists/partial" "$cache/cache/archives/partial"
touch "$cache/status"

# Packages of another architecture, without telling the system's package manager.
options=(-o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o "Dir::State::lists=$cache/lists"
    -o "Dir::State::status=$cache/status" -o "Dir::Cache=$cache/cache")
if ! compgen -G "$root/usr/bin/python3.*" > /dev/null; then
    apt-get "${options[@]}" update
    apt-get "${options[@]}" install --yes --quiet --download-only --no-install-recommends \
        python3-minimal libpython3-stdlib libstdc++6 zlib1g libgcc-s1
    for package in "$cache"/cache/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
fi

# LiteRT reads the kind of processor from these files and crashes on those of another architecture; QEMU
# prefers the ones in its folder. A Cortex-A76, as in phones from 2018 on.
mkdir -p "$root/proc" "$root/sys/devices/system/cpu"
for file in possible present; do echo 0 > "$root/sys/devices/system/cpu/$file"; done
printf '%s\n' 'processor	: 0' \
    'Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp' \
    'CPU implementer	: 0x41' 'CPU architecture: 8' 'CPU variant	: 0x3' 'CPU part	: 0xd0b' 'CPU revision	: 1' \
    > "$root/proc/cpuinfo"

python="$(basename "$(compgen -G "$root/usr/bin/python3.*" | head -n 1)")"
host="${ANDROID_PYTHON:-python3}"
platforms=()
for glibc in 17 27 28 31 34 35; do platforms+=(--platform "manylinux_2_${glibc}_aarch64"); done
rm -rf "$cache/wheels" "$root/site"
for name in numpy ai-edge-litert; do
    version="$("$host" -c "from importlib.metadata import version; print(version('$name'))")"
    "$host" -m pip download --quiet --no-deps --only-binary=:all: --platform manylinux2014_aarch64 "${platforms[@]}" \
        --python-version "${python#python}" --dest "$cache/wheels" "$name==$version"
done
for wheel in "$cache"/wheels/*.whl; do "$host" -m zipfile --extract "$wheel" "$root/site"; done
echo "$python for 64-bit Arm is in $root."
command -v qemu-aarch64 qemu-aarch64-static > /dev/null ||
    echo "Missing for make arm-check: qemu-aarch64; as root, run: apt-get install --no-install-recommends qemu-user-static"
