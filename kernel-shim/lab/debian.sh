# Debian packages that the machine's own release does not carry: taken from the mirror apt is set up with,
# verified with Debian's archive keys, and unpacked into a folder. Nothing is installed, root is not needed.
#
# apt runs with a state of its own: its sources name other releases, its package database is empty, so "install"
# resolves a package with everything it needs; `--download-only` fetches that and dpkg-deb unpacks it.
# shellcheck shell=bash

debian_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The address of the Debian archive, as apt itself reads its configuration (one-line and deb822 sources alike): the
# first place it would update the running release from. Nothing is fetched.
debian_mirror() {
  local codename address
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  address=$(LC_ALL=C apt-get update --print-uris |
    sed -nE "s|^'(.*)/dists/$codename/(In)?Release' .*|\1|p" | head -n 1)
  [ -n "$address" ] || {
    echo "apt: no source for Debian ${codename:-(no codename)} in apt's configuration" >&2
    return 1
  }
  echo "$address"
}

# debian_unpack FOLDER "SUITE ..." PACKAGE ...
# Unpacks the packages, and with dependencies=yes in the environment all they depend on, into FOLDER.
# The first suite wins over those after it.
debian_unpack() {
  local folder=$1 suites=$2 mirror state suite pin=900 deb status=0
  shift 2
  mirror=$(debian_mirror) || return 1
  state=$(mktemp -d "${TMPDIR:-/tmp}/tmemd-apt.XXXXXX")
  mkdir -p "$state/lists/partial" "$state/archives/partial" "$state/preferences.d" "$folder"
  : >"$state/status"
  for suite in $suites; do
    echo "deb [signed-by=$debian_keyring] $mirror $suite main" >>"$state/sources.list"
    printf 'Package: *\nPin: release n=%s\nPin-Priority: %d\n\n' "$suite" "$pin" >>"$state/preferences"
    pin=$((pin - 100))
  done
  local apt=(apt-get -q -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::Etc::Preferences="$state/preferences" -o Dir::Etc::PreferencesParts="$state/preferences.d"
    -o Dir::State="$state" -o Dir::State::Lists="$state/lists" -o Dir::State::status="$state/status"
    -o Dir::Cache="$state" -o Dir::Cache::Archives="$state/archives"
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
    -o APT::Install-Recommends=false -o APT::Sandbox::User=root -o Debug::NoLocking=true
    -o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Update::Error-Mode=any
    # A release past its support is not signed anew: an old signature is still the archive's.
    -o Acquire::Check-Valid-Until=false)
  {
    LC_ALL=C "${apt[@]}" update &&
      if [ "${dependencies:-no}" = yes ]; then
        LC_ALL=C "${apt[@]}" -y --download-only -o Dir::Cache::Archives="$state/archives" install "$@"
      else
        (cd "$state/archives" && LC_ALL=C "${apt[@]}" download "$@")
      fi
  } >&2 || status=1
  if [ $status = 0 ]; then
    for deb in "$state"/archives/*.deb; do
      dpkg-deb --extract "$deb" "$folder" || status=1
    done
  fi
  rm -rf "$state"
  return $status
}
