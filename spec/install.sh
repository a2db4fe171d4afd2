#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the tools, their manual pages, and completions for bash, zsh and fish; puts the magic for file(1) beside them.
#
#     spec/install.sh [PREFIX [TOOLS]]
#
# PREFIX is /usr/local, where man, bash-completion and zsh look by themselves. fish does not always: there its completions go to
# /etc/fish/completions, if /etc/fish exists. TOOLS is the folder of the built tools, .build/release.
set -eu
umask 022
case ${1:-} in -*) sed -n '3,9s/^# \{0,1\}//p' "$0" >&2; exit 64 ;; esac
prefix=$(realpath -m "${1:-/usr/local}") root=$(dirname "$(dirname "$(realpath "$0")")")
tools=$(realpath "${2:-$root/.build/release}")
cd "$root"
[ -x "$tools/nc-info" ] || { echo "install.sh: no tools in $tools: build them first (README.md)" >&2; exit 66; }
share=$prefix/share
bash=$share/bash-completion/completions zsh=$share/zsh/site-functions fish=$share/fish/vendor_completions.d
[ "$prefix" != /usr/local ] || [ ! -d /etc/fish ] || fish=/etc/fish/completions
mkdir -p "$prefix/bin" "$share/man/man1" "$share/man/man5" "$share/misc" "$bash" "$zsh" "$fish"
for name in nc-ternarize nc-prune nc-quantize nc-restore nc-verify nc-run nc-info; do
  install -m 755 "$tools/$name" "$prefix/bin/"
  install -m 644 "spec/man/$name.1" "$share/man/man1/"
  "$tools/$name" --generate-completion-script bash >"$bash/$name"
  "$tools/$name" --generate-completion-script zsh >"$zsh/_$name"
  "$tools/$name" --generate-completion-script fish >"$fish/$name.fish"
done
install -m 644 spec/man/ncz.5 "$share/man/man5/"
install -m 644 spec/ncz.magic "$share/misc/"
echo "installed in $prefix; for zsh, $zsh must stand in fpath; for file, use: file -m $share/misc/ncz.magic"
