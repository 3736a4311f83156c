# Artefacts: what takes long to make and depends only on its inputs, kept outside the checkout.
#
# An artefact is a folder $cache/NAME-KEY, where KEY is a hash of everything it is made from. It is made in a
# temporary folder and renamed when complete: a folder that exists is whole, whatever was interrupted before.
# One run at a time makes a NAME; others wait. What was not used for 30 days goes when its like is made anew.
# Progress goes to stderr; stdout carries the artefact's path.
# shellcheck shell=bash

lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${TMEMD_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tmemd}

say() { echo "tmemd: $*" >&2; }

die() {
  say "$@"
  exit 1
}

# hash_of FILE-OR-TEXT ...: files by content, anything else as itself.
hash_of() {
  local input
  for input in "$@"; do
    if [ -f "$input" ]; then sha256sum <"$input"; else echo "$input"; fi
  done | sha256sum | cut -c1-16
}

# artefact NAME KEY BUILD [ARGUMENT ...]: prints the folder, after running "BUILD FOLDER ARGUMENT ..." when it is missing.
# What BUILD prints goes to $cache/NAME.log and is shown from its end when BUILD fails; its status is passed on.
artefact() {
  local name=$1 key=$2 build=$3 folder=$cache/$1-$2 temporary status started=$SECONDS
  shift 3
  if [ ! -d "$folder" ]; then
    mkdir -p "$cache" || die "cannot make the cache folder $cache (choose another with TMEMD_CACHE_DIR)"
    exec 9>"$cache/$name.lock"
    flock -n 9 || {
      say "waiting for another run that makes $name"
      flock 9
    }
    if [ ! -d "$folder" ]; then
      say "making $name (log: $cache/$name.log)"
      find "$cache" -maxdepth 1 \( -name "$name-*" -o -name ".$name.*" \) -mtime +30 -exec rm -rf {} +
      # What a killed run left; a child of its that lives on may still write there.
      rm -rf "$cache/.$name".* || true
      temporary=$(mktemp -d "$cache/.$name.XXXXXX")
      chmod 755 "$temporary"
      # Not as a condition: bash would go on after a command of BUILD that fails.
      set +e
      (
        set -euo pipefail
        "$build" "$temporary" "$@"
      ) >"$cache/$name.log" 2>&1 9>&-
      status=$?
      set -e
      if [ $status != 0 ]; then
        tail -n 20 "$cache/$name.log" >&2
        rm -rf "$temporary"
        say "could not make $name; the whole log is $cache/$name.log"
        exit $status
      fi
      mv -T "$temporary" "$folder"
      say "made $name in $((SECONDS - started)) s"
    fi
    exec 9>&-
  fi
  touch -c "$folder"
  echo "$folder"
}
