#!/usr/bin/env bash
# setup.sh COMMAND [ARGUMENT ...]: what every npm script runs. Makes what COMMAND needs, as far as it is not there
# (Debian packages, node_modules, the addon, the TypeScript), then runs it. Safe to repeat and to interrupt; with
# everything there it needs no network and about two seconds. Only the command itself writes to stdout.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/artefact.sh"
root=$(cd "$lab/../.." && pwd)

# Debian packages, by what they are for.
addon_packages=(g++ cmake ninja-build libc6-dev liblz4-dev libzstd-dev libxxhash-dev)
test_packages=(doctest-dev perl sparse clang)
guest_packages=(gcc make flex bison bc libelf-dev cpio lz4 xz-utils e2fsprogs debian-archive-keyring)

usage='build, start, guest, test, mutation or bench'
command=${1:-}
case $command in
  build | start | bench) packages=("${addon_packages[@]}") ;;
  guest) packages=("${addon_packages[@]}" "${guest_packages[@]}") ;;
  test | mutation) packages=("${addon_packages[@]}" "${guest_packages[@]}" "${test_packages[@]}") ;;
  *) die "unknown command '$command': $usage" ;;
esac
shift

check_node() {
  local version
  version=$(node --version 2>/dev/null) || die "Node.js is missing: 20.19 or later is needed"
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    die "Node.js $version is too old: 20.19 or later is needed"
}

# Prints those of the packages given that are not installed.
missing_packages() {
  local package
  for package; do
    [ "$(LC_ALL=C dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

install_packages() {
  local missing as_root=()
  command -v dpkg-query >/dev/null || die "this needs Debian 12 or 13 (no dpkg here)"
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "Debian packages are missing; as root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing Debian packages: ${missing[*]}"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -o DPkg::Lock::Timeout=300)
  # Its lock timeout does not hold for the lists: a machine that has just started may be updating them itself.
  local said waited
  for ((waited = 0; ; waited += 10)); do
    said=$("${apt[@]}" update 2>&1) && break
    printf '%s\n' "$said" >&2
    if [[ $said != *'Unable to lock directory'* ]] || [ $waited -ge 300 ]; then
      say "apt-get update failed; going on with the package lists that are there"
      break
    fi
    sleep 10
  done
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >&2 ||
    die "apt-get could not install ${missing[*]}"
}

install_node_modules() {
  cmp -s package-lock.json node_modules/.lock-copy && return 0
  say "installing node_modules"
  npm ci --loglevel=error >&2 || die "npm ci failed"
  cp package-lock.json node_modules/.lock-copy
}

build_addon() {
  local targets=(tmemd)
  case $command in
    # What the tests chosen need beside it test/run.sh builds.
    test) targets=(tmemd tmemd_mock) ;;
    bench) targets=(tmemd tmemd_mock tmemd_peers collect store_bench) ;;
  esac
  # A build folder that was moved here with its checkout names files of the old place.
  if [ -f build/CMakeCache.txt ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root/addon" build/CMakeCache.txt; then
    rm -rf build
  fi
  [ -f build/build.ninja ] || LC_ALL=C cmake -S addon -B build -G Ninja >&2 || die "cmake failed"
  LC_ALL=C ninja -C build "${targets[@]}" | sed '/no work to do/d; /Entering directory/d; /Re-checking globbed/d' >&2 ||
    die "the addon does not build"
}

# tsc takes seconds to find that nothing changed; the files' times tell at once.
build_typescript() {
  local built=dist/.built
  [ -z "$(find src kernel-shim/lab bench test tsconfig.json package-lock.json \
    \( -name '*.ts' -o -name '*.json' \) -newer "$built" -print -quit 2>&1)" ] && return 0
  mkdir -p dist
  touch dist/.started
  node_modules/.bin/tsc --incremental --tsBuildInfoFile dist/.tsbuildinfo >&2 || die "the TypeScript does not build"
  mv dist/.started "$built"
}

cd "$root"
check_node
exec 8<package.json
flock -n 8 || {
  say "waiting for another set-up of this checkout"
  flock 8
}
install_packages "${packages[@]}"
# The fuzzers' runtime is a package of that clang's version.
[ "$command" != test ] || install_packages "libclang-rt-$(clang -dumpversion | cut -d . -f 1)-dev"
install_node_modules
build_addon
build_typescript
exec 8<&-

case $command in
  build) say "built build/addon/tmemd.node and dist/" ;;
  start) exec node dist/src/cli/main.js serve "$@" ;;
  guest) exec node dist/kernel-shim/lab/guest.js "$@" ;;
  test) exec bash test/run.sh "$@" ;;
  mutation)
    # One copy of the checkout, one run in it.
    exec 7>build/mutation.lock
    flock -n 7 || die "another mutation run of this checkout is under way"
    exec node dist/test/mutation/main.js "$@"
    ;;
  bench) exec node dist/bench/main.js "$@" ;;
esac
