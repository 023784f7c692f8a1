#!/usr/bin/env bash
# Copies what the browser loads from node_modules to where the portal and the gateway serve it: these files and no others.
set -euo pipefail
cd "$(dirname "$0")/.."
portal=src/sekisho/portal/static/vendor gateway=src/sekisho/gateway/static/vendor

rm -rf "$portal" "$gateway"
install -D -m 644 -t "$portal" node_modules/htmx.org/dist/htmx.min.js
install -m 644 node_modules/htmx.org/LICENSE "$portal/htmx.LICENSE"
install -D -m 644 -t "$gateway" node_modules/@xterm/xterm/lib/xterm.js node_modules/@xterm/xterm/css/xterm.css node_modules/@xterm/addon-fit/lib/addon-fit.js
install -m 644 node_modules/@xterm/xterm/LICENSE "$gateway/xterm.LICENSE"
install -m 644 node_modules/@xterm/addon-fit/LICENSE "$gateway/addon-fit.LICENSE"

# noVNC's modules import one another: what `core/rfb.js` needs is copied as it lies. Of pako, which it carries, the two files that nothing imports stay out.
novnc=node_modules/@novnc/novnc
mkdir -p "$gateway/novnc/vendor"
cp -r "$novnc/core" "$gateway/novnc/core"
cp -r "$novnc/vendor/pako" "$gateway/novnc/vendor/pako"
rm "$gateway"/novnc/vendor/pako/lib/zlib/{constants,gzheader}.js "$gateway/novnc/vendor/pako/README.md"
install -m 644 "$novnc/LICENSE.txt" "$novnc/AUTHORS" "$gateway/novnc/"
install -D -m 644 -t "$gateway/novnc/docs" "$novnc"/docs/LICENSE*
find "$gateway/novnc" -type d -exec chmod 755 {} +
find "$gateway/novnc" -type f -exec chmod 644 {} +
