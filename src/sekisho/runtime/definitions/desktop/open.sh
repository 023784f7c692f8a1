#!/bin/sh
# open gnumeric|mousepad [FILE…]: as the program itself does, but for text in Shift_JIS, as Japanese Excel and Windows write it, which neither of
# them recognises: that is opened as a copy in UTF-8 beside it.

is_shift_jis() {
  ! iconv -f UTF-8 -t UTF-8 "$1" >/dev/null 2>&1 && iconv -f CP932 -t UTF-8 "$1" >/dev/null 2>&1
}

program=$1
shift
for file; do
  shift
  case $file in *.csv | *.CSV | *.tsv | *.TSV | *.txt | *.TXT)
    if is_shift_jis "$file"; then
      copy="${file%.*} (UTF-8).${file##*.}"
      [ -e "$copy" ] || iconv -f CP932 -t UTF-8 "$file" >"$copy" || copy=$file
      file=$copy
    fi
    ;;
  esac
  set -- "$@" "$file"
done
exec "$program" "$@"
