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
