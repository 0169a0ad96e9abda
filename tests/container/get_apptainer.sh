#!/usr/bin/env bash
# get_apptainer.sh DIR: unpacks Debian's apptainer under DIR and installs nothing; then DIR/usr/bin/apptainer
# runs. Older Debians have no apptainer: it comes from APPTAINER_SUITE (sid) of the mirror this machine
# already uses, with that suite's libc beside it. Needs apt, dpkg-deb and patchelf.
set -euo pipefail

mkdir -p "$1"
folder=$(cd "$1" && pwd)
suite=${APPTAINER_SUITE:-sid}
key=${APPTAINER_KEY:-/usr/share/keyrings/debian-archive-keyring.gpg}

mirror() {
    cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list /etc/apt/sources.list 2>/dev/null |
        sed -nE 's/^URIs: *([^ ]+).*/\1/p; s/^deb +(\[[^]]*\] +)?([^ ]+).*/\2/p' | grep -v security | sed -n 1p
}

# An apt of its own: the machine's package lists stay as they are.
mkdir -p "$folder"/apt/{lists/partial,cache/archives/partial} "$folder"/{debs,libraries,libc}
echo "deb [signed-by=$key] ${APPTAINER_MIRROR:-$(mirror)} $suite main" >"$folder/apt/sources.list"
apt=(apt-get
    -o "Dir::Etc::SourceList=$folder/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$folder/apt/lists" -o Dir::State::status=/dev/null
    -o "Dir::Cache=$folder/apt/cache" -o "APT::Sandbox::User=$(id -un)" -o Acquire::Languages=none
)
"${apt[@]}" update -qq
(cd "$folder/debs" && "${apt[@]}" download -qq apptainer libc6 libseccomp2 libsqlite3-0)
for package in "$folder"/debs/*.deb; do
    case ${package##*/} in
    apptainer*) dpkg-deb -x "$package" "$folder" ;;
    *) dpkg-deb -x "$package" "$folder/libraries" ;;
    esac
done

find "$folder/libraries" \( -name 'ld-linux-x86-64.so.2' -o -name 'libc.so.6' -o -name 'libm.so.6' \
    -o -name 'libresolv.so.2' -o -name 'libnss_*.so.2' -o -name 'libseccomp.so.2' -o -name 'libsqlite3.so.0' \) \
    -exec cp -fL {} "$folder/libc/" \;
for program in "$folder/usr/bin/apptainer" "$folder/usr/lib/x86_64-linux-gnu/apptainer/bin/starter"; do
    patchelf --set-interpreter "$folder/libc/ld-linux-x86-64.so.2" \
        --force-rpath --set-rpath "$folder/libc" "$program"
done

# It looks for its files beside itself.
[ -e "$folder/usr/etc" ] || cp -r "$folder/etc" "$folder/usr/etc"
mkdir -p "$folder/usr/var/lib/apptainer/mnt/session"
for link in etc:../etc var:../var bin:../bin lib:.; do
    ln -sfn "${link#*:}" "$folder/usr/lib/${link%%:*}"
done
rm -rf "$folder/libraries" "$folder/debs" "$folder/apt"
"$folder/usr/bin/apptainer" --version
