#!/bin/sh
# The desktop of a room, and its first program. It runs as the person and never ends by itself: only *leave*, or the end of the grant, ends a room.
# What the eye waits for comes first: wallpaper, panel, window manager. The rest starts when those have been drawn.

export XDG_RUNTIME_DIR=/run/user/1000 XDG_CURRENT_DESKTOP=Sekisho XDG_SESSION_TYPE=x11
export DBUS_SESSION_BUS_ADDRESS="unix:path=$XDG_RUNTIME_DIR/bus"
export GTK_IM_MODULE=fcitx QT_IM_MODULE=fcitx XMODIFIERS=@im=fcitx
export NO_AT_BRIDGE=1 GIO_USE_VFS=local GIO_USE_VOLUME_MONITOR=unix
export GSETTINGS_BACKEND=keyfile BROWSER=firefox-esr MOZ_REMOTE_SETTINGS_DEVTOOLS=1
case ${TZ-}$LANG in ja_JP*) export TZ=Asia/Tokyo ;; esac # where nothing said a zone; others see UTC, and that it is UTC

# The program again whenever it ends, with a pause so that one which can't start costs nothing.
keep() {
  while :; do
    "$@" >/dev/null 2>&1
    sleep 1
  done
}

wallpaper() {
  hsetroot -cover /usr/share/sekisho/wallpaper.png
}

# The window manager says anew how large the screen is whenever that changes.
follow_the_screen() {
  xprop -root -spy _NET_DESKTOP_GEOMETRY | while read -r _; do wallpaper; done
}

# try TIMES COMMAND…: until the command succeeds, 10 ms apart.
try() {
  left=$1
  shift
  until "$@" || [ "$left" -le 0 ]; do
    sleep 0.01
    left=$((left - 1))
  done
}

# Looks less often than `try` alone, for it takes time from what it waits for.
panel_is_there() {
  sleep 0.05
  xprop -root _NET_CLIENT_LIST 2>/dev/null | grep -q 0x
}

mkdir -p -m 700 "$HOME/.cache" "$HOME/.config" "$XDG_RUNTIME_DIR"
cp -r /usr/share/sekisho/home/cache/. "$HOME/.cache/"
cp -r /usr/share/sekisho/home/config/. "$HOME/.config/"
try 1000 [ -S /tmp/.X11-unix/X0 ]

cd /data || cd /
keep openbox --config-file /etc/xdg/openbox/rc.xml --startup "touch $XDG_RUNTIME_DIR/window-manager" &
wallpaper >/dev/null 2>&1 &
try 500 [ -e "$XDG_RUNTIME_DIR/window-manager" ] # a window that is mapped while it starts may stay unseen
keep tint2 -c /etc/xdg/tint2/tint2rc &

try 100 panel_is_there

keep dbus-daemon --session --nofork --nopidfile --nosyslog --address="$DBUS_SESSION_BUS_ADDRESS" &
keep jgmenu &
keep follow_the_screen &
try 500 [ -S "$XDG_RUNTIME_DIR/bus" ]
keep fcitx5 --disable=wayland,waylandim,ibusfrontend,clipboard,kimpanel,notifications &

while :; do
  wait
  sleep 1
done
