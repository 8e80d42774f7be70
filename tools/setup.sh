# setup.sh - sourced by demo.sh and test.sh: installs what a build needs, and says so. On Debian and
# its children through apt-get; elsewhere it names the packages and stops if something is missing.

debian_build="gcc libc6-dev make cmake ninja-build pkg-config libjansson-dev zlib1g-dev libpng-dev libjpeg-dev
    libwebp-dev libutf8proc-dev libpcre2-dev libssl-dev libcurl4-openssl-dev libedit-dev libchafa-dev
    libglib2.0-dev"
debian_test="libcmocka-dev clang clang-format clang-tidy libclang-rt-dev"
debian_neon="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "Neither root nor sudo. As root: $*" >&2
        return 1
    fi
}

# The packages named that are not installed.
missing_packages() {
    for package; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' ||
            printf ' %s' "$package"
    done
}

# setup_install PACKAGES...: what is missing of them, with apt-get.
setup_install() {
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    echo "Installing:$missing"
    [ -n "${setup_updated:-}" ] || as_root apt-get -qq update </dev/null
    setup_updated=1
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
        $missing </dev/null >/dev/null
}

# setup_elsewhere TEST: without apt-get, 0 if everything is there, else the names of the packages.
setup_elsewhere() {
    absent=""
    for tool in cc cmake ninja make pkg-config; do
        command -v $tool >/dev/null || absent="$absent $tool"
    done
    for module in jansson zlib libpng libjpeg libwebp libwebpmux libutf8proc libpcre2-8 \
        libcrypto libcurl libedit ${1:+cmocka}; do
        pkg-config --exists $module 2>/dev/null || absent="$absent $module"
    done
    [ -n "$absent" ] || return 0
    cat >&2 <<TXT
Missing:$absent
Please install, then run this again:
  macOS    brew install cmake ninja make pkg-config jansson libpng jpeg-turbo webp utf8proc \\
               pcre2 openssl@3 curl libedit chafa cmocka llvm
  Fedora   dnf install gcc make cmake ninja-build pkgconf jansson-devel zlib-devel libpng-devel \\
               libjpeg-turbo-devel libwebp-devel utf8proc-devel pcre2-devel \\
               openssl-devel libcurl-devel libedit-devel chafa-devel libcmocka-devel clang clang-tools-extra
  Arch     pacman -S gcc make cmake ninja pkgconf jansson zlib libpng libjpeg-turbo libwebp \\
               libutf8proc pcre2 openssl curl libedit chafa cmocka clang
TXT
    return 1
}

# setup build|test: everything needed, or a message and failure.
setup() {
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        setup_elsewhere "$([ "$1" = build ] || echo test)"
        return
    fi
    packages=$debian_build
    [ "$1" = build ] || packages="$packages $debian_test"
    # shellcheck disable=SC2086
    setup_install $packages
}
