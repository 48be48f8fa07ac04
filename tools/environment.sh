# Sourced by quickstart, test and check: change to the root of the checkout and create its .venv once.
# If $I2I_PYTHON names a Python that has i2i installed, create and install nothing.

export I2I_CALLER=$PWD  # the user's folder, to which their paths are relative
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

fail() {
    echo "Error: $*" >&2
    exit 1
}

find_python() {
    local candidate
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11, 4))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

# ensure_environment EXTRA: "" installs what training needs, "dev" adds the development tools.
ensure_environment() {
    PYTHON=${I2I_PYTHON:-$PWD/.venv/bin/python}
    [ -n "${I2I_PYTHON:-}" ] && return
    local extra=$1 stamp=.venv/.i2i-installed wanted have
    wanted="$PWD $(cksum <pyproject.toml)"  # an editable install holds the path
    have=$(cat "$stamp" 2>/dev/null)
    if [ "$have" = "dev $wanted" ] || { [ -z "$extra" ] && [ "$have" = "user $wanted" ]; }; then
        return
    fi
    echo "Installing i2i into $PWD/.venv (about 6 GB and a few minutes the first time)..."
    local target=".[${extra:-train}]"
    if command -v uv >/dev/null; then
        [ -x .venv/bin/python ] || uv venv --quiet --python ">=3.11.4" .venv || fail "uv could not create .venv with Python 3.11.4 or newer."
        uv pip install --quiet --python .venv/bin/python -e "$target" || fail "the installation failed; see the lines above."
    else
        local python
        python=$(find_python) || fail "Python 3.11.4 or newer is missing. Install it, or uv, and run this again."
        [ -x .venv/bin/pip ] || "$python" -m venv .venv || fail "$python cannot create environments. On Debian and Ubuntu: apt install python3-venv."
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -e "$target" || fail "the installation failed; see the lines above."
    fi
    echo "${extra:-user} $wanted" >"$stamp"
}
