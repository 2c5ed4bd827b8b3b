#!/bin/sh
# Print the newest Python of 3.11 to 3.13 on this machine that can make an environment; else say what to install.
in_range='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
without_venv=""
for name in python3.13 python3.12 python3.11 python3 python; do
  "$name" -c "$in_range" 2>/dev/null || continue
  if "$name" -c 'import venv, ensurepip' 2>/dev/null; then
    command -v "$name"
    exit 0
  fi
  without_venv="${without_venv:-$name}"
done
if [ -n "$without_venv" ]; then
  echo "$without_venv has no 'venv'. On Debian and Ubuntu: sudo apt install $without_venv-venv" >&2
else
  echo "No Python 3.11, 3.12 or 3.13 is on the PATH. On Debian and Ubuntu: sudo apt install python3 python3-venv" >&2
  echo "Elsewhere: python.org, conda or pyenv. Or name one: make PYTHON=/path/to/python3" >&2
fi
exit 1
