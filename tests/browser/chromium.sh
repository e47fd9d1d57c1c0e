#!/bin/sh
# Succeeds where a Chromium is there or could be installed; else says in one line why the browser tests are left out.
set -eu
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
skip() { echo "browser tests skipped: no Chromium, and $*"; exit 1; }
command -v apt-get >/dev/null 2>&1 || skip "no apt-get to install it with"
[ "$(id -u)" = 0 ] || skip "installing it needs root (apt-get install chromium)"
echo "installing chromium (apt-get)"
export DEBIAN_FRONTEND=noninteractive
(apt-get update -qq && timeout 300 apt-get install -y -qq --no-install-recommends chromium) >/dev/null 2>&1 ||
    skip "apt-get install chromium failed"
command -v chromium >/dev/null 2>&1 || skip "the package chromium brought no browser"
